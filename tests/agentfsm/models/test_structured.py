"""Structured answers are checked against their schema, and refused with a reason that the model can use."""

import pytest
from pydantic import BaseModel

from agentfsm.errors import InvalidArguments
from agentfsm.models.structured import MOST_CHARS, check_answer


class Answer(BaseModel):
    text: str
    sources: list[str]


GOOD = '{"text": "yes", "sources": ["a"]}'


@pytest.mark.parametrize("text", [GOOD, f"```json\n{GOOD}\n```", f"\n```\n{GOOD}\n```\n", f"  {GOOD}\n"])
def test_an_answer_of_the_schema_is_taken(text):
    assert check_answer(Answer, text) == {"text": "yes", "sources": ["a"]}


@pytest.mark.parametrize(
    "text", ["", "yes", f"Here it is: {GOOD}", '{"text": "yes"}', '{"text": 1, "sources": []}', "[" * 100_000, "NaN"]
)
def test_any_other_answer_is_refused_with_the_reason(text):
    with pytest.raises(InvalidArguments, match="has to be JSON of the schema"):
        check_answer(Answer, text)


def test_an_answer_without_end_is_refused_unread():
    with pytest.raises(InvalidArguments, match="at most"):
        check_answer(Answer, "x" * (MOST_CHARS + 1))
