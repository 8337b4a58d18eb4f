"""Structured answers are checked against their schema, and refused with a reason that the model can use."""

import time

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


class Measured(BaseModel):
    value: float


@pytest.mark.parametrize("text", ['{"value": NaN}', '{"value": Infinity}', '{"value": 1e999}'])
def test_a_number_that_json_does_not_have_is_refused(text):
    with pytest.raises(InvalidArguments, match="has to be JSON of the schema"):
        check_answer(Measured, text)


def test_the_reason_does_not_repeat_the_answer():
    with pytest.raises(InvalidArguments) as raised:
        check_answer(Answer, '{"text": 1, "sources": ["4111-1111"], "secret-name": "s3cret"}')
    assert "4111" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("text", ["```" + "\n" * 150_000, "```json\n" + "``` " * 40_000, "```" + " " * 150_000])
def test_no_fence_costs_more_than_reading_it(text):
    began = time.process_time()
    with pytest.raises(InvalidArguments):
        check_answer(Answer, text)
    assert time.process_time() - began < 5  # one that is read once for each of its lines takes minutes
