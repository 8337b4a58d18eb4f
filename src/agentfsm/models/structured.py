"""Structured answers: the last text of a model against the schema it has to satisfy."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from agentfsm.contracts import explain
from agentfsm.errors import InvalidArguments

MOST_CHARS = 200_000
_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


def check_answer(schema: type[BaseModel], text: str) -> dict[str, Any]:
    """Return the answer as plain data; raise InvalidArguments with a reason that the model can use.

    A fence around the whole answer is taken off; anything else beside the JSON is refused.
    """
    if len(text) > MOST_CHARS:
        raise InvalidArguments(f"The answer has {len(text)} characters; at most {MOST_CHARS} are allowed.")
    fenced = _FENCED.match(text)
    try:
        return schema.model_validate_json(fenced[1] if fenced else text, strict=True).model_dump(mode="json")
    except ValidationError as error:
        raise InvalidArguments(f"The answer has to be JSON of the schema that was given: {explain(error)}") from None
