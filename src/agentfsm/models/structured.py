"""Structured answers: how the last text of a model is asked for, and whether it satisfies its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from agentfsm.contracts import canonical, explain
from agentfsm.errors import InvalidArguments
from agentfsm.schemas import in_words
from agentfsm.turns import Message, ModelRequest

MOST_CHARS = 200_000
_FENCED = re.compile(r"```(?:json)?[^\S\n]*\n(.*)```", re.DOTALL | re.IGNORECASE)

_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"])
_KEPT = ("type", "enum", "const", "$ref", "title")


def instructed(request: ModelRequest) -> ModelRequest:
    """Return the request with its schema said in words, for a provider that cannot be bound to it."""
    schema = canonical(request.answer)
    told = f"Your final answer is JSON alone, without a fence, and satisfies this JSON schema: {schema}"
    return request.model_copy(
        update={"answer": None, "messages": (Message(role="system", text=told), *request.messages)}
    )


def closed(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema as decoders take it that are bound to one, limits in words; None where it cannot be said so.

    That is where it refers to itself, or leaves open which names an object has or what a value is.
    """
    defs = schema.get("$defs", {})
    try:
        made = {name: _closed(node, defs, frozenset({name})) for name, node in defs.items()}
        return {**_closed(schema, defs, frozenset()), **({"$defs": made} if made else {})}
    except _Open:
        return None


class _Open(Exception):
    """A schema leaves something open."""


def _closed(node: Any, defs: Mapping[str, Any], inside: frozenset[str]) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise _Open
    made = {key: node[key] for key in _KEPT if key in node}
    if text := in_words(dict(node)):
        made["description"] = text
    if node.get("format") in _FORMATS:
        made["format"] = node["format"]
    if node.get("minItems") in (0, 1):
        made["minItems"] = node["minItems"]
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        if name in inside or name not in defs:
            raise _Open
        _closed(defs[name], defs, inside | {name})
    branches = node.get("anyOf") or node.get("oneOf")
    if branches:
        made["anyOf"] = [_closed(branch, defs, inside) for branch in branches]
    elif node.get("type") == "object":
        if node.get("additionalProperties", False) is not False or "properties" not in node:
            raise _Open
        made["properties"] = {name: _closed(field, defs, inside) for name, field in node["properties"].items()}
        made |= {"required": list(node.get("required", ())), "additionalProperties": False}
    elif node.get("type") == "array":
        made["items"] = _closed(node.get("items"), defs, inside)
    elif not made.keys() & {"type", "enum", "const", "$ref"}:
        raise _Open
    return made


def check_answer(schema: type[BaseModel], text: str) -> dict[str, Any]:
    """Return the answer as plain data; raise InvalidArguments with a reason that the model can use.

    A fence around the whole answer is taken off; anything else beside the JSON is refused.
    """
    if len(text) > MOST_CHARS:
        raise InvalidArguments(f"The answer has {len(text)} characters; at most {MOST_CHARS} are allowed.")
    fenced = _FENCED.fullmatch(text.strip())
    try:
        checked = schema.model_validate_json(fenced[1] if fenced else text, strict=True).model_dump(mode="json")
        canonical(checked)
    except ValidationError as error:
        raise InvalidArguments(f"The answer has to be JSON of the schema that was given: {explain(error)}") from None
    except (ValueError, RecursionError) as error:  # NaN and infinity are no JSON, though they can be written
        raise InvalidArguments(f"The answer has to be JSON of the schema that was given: {error}") from None
    return checked
