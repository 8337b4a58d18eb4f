"""Values that a JSON schema takes: the same for one seed, from what the schema itself offers first."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

DEEPEST = 20
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:30:00Z",
    "time": "09:30:00Z",
    "email": "sam@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "uri": "https://example.com/",
    "uuid": "6f1c1a52-3c56-4b07-9d5e-0e1f2a3b4c5d",
}
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor")


def value_for(schema: Any, seed: str) -> Any:
    """A value for a schema: its `const`, its first example, its default, the first of its enum, else one of its type.

    Of an object the required properties alone. Raises ValueError that says where, for what cannot be made: a pattern
    without an example, a reference that leads nowhere, a schema without end.
    """
    return _Maker(schema, random.Random(seed)).value(schema, "", 0)  # noqa: S311 - that it can be foretold is the point


class _Maker:
    def __init__(self, root: Any, drawn: random.Random) -> None:
        self._root = root
        self._random = drawn

    def value(self, schema: Any, place: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError(f"{place or 'the schema'} is nested more than {DEEPEST} levels deep; give an example")
        if not isinstance(schema, Mapping):
            return self._word()
        schema = self._resolved(schema, place)
        for offered in ("const", "example", "default"):
            if offered in schema:
                return schema[offered]
        for offered in ("examples", "enum"):
            if isinstance(schema.get(offered), list) and schema[offered]:
                return schema[offered][0]
        for choice in ("anyOf", "oneOf"):
            if isinstance(schema.get(choice), list) and schema[choice]:
                return self.value(_not_null(schema[choice]), place, depth + 1)
        return self._of_type(schema, place, depth)

    def _of_type(self, schema: Mapping[str, Any], place: str, depth: int) -> Any:
        match _type(schema):
            case "object":
                return self._object(schema, place, depth)
            case "array":
                least = max(int(schema.get("minItems", 1)), 0)
                items = schema.get("items", {})
                return [self.value(items, f"{place}[{index}]", depth + 1) for index in range(least)]
            case "integer":
                return int(self._number(schema, whole=True))
            case "number":
                return self._number(schema, whole=False)
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
        return self._text(schema, place)

    def _object(self, schema: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or ()
        named = [name for name in properties if name in required] + [n for n in required if n not in properties]
        return {
            name: self.value(properties.get(name, {}), f"{place}.{name}" if place else name, depth + 1)
            for name in named
        }

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float:
        step = schema.get("multipleOf") or (1 if whole else 0.5)
        low, high = schema.get("minimum"), schema.get("maximum")
        over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if over is not None and not isinstance(over, bool):
            low = over + step
        if under is not None and not isinstance(under, bool):
            high = under - step
        if low is None:
            low = 1 if high is None or high >= 1 else high - 100 * step
        if high is None:
            high = low + 100 * step
        first = -(-low // step)
        last = max(first, high // step)
        value: float = step * self._random.randint(int(first), int(last))
        return value

    def _text(self, schema: Mapping[str, Any], place: str) -> str:
        text = _FORMATS.get(str(schema.get("format"))) or self._word()
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        while len(text) < least:
            text += f" {self._word()}"
        text = text[: max(least, int(most))] if most is not None else text
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and re.search(pattern, text) is None:
            raise ValueError(
                f"{place or 'the text'} must match {pattern!r}; give its schema an example, "
                "or give the persona the arguments"
            )
        return text

    def _word(self) -> str:
        return self._random.choice(_WORDS)

    def _resolved(self, schema: Mapping[str, Any], place: str) -> Mapping[str, Any]:
        for _ in range(DEEPEST):
            reference, parts = schema.get("$ref"), schema.get("allOf")
            if isinstance(reference, str):
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self._target(reference, place), **rest}
            elif isinstance(parts, list) and parts:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = _merged([*(self._resolved(part, place) for part in parts), rest])
            else:
                return schema
        raise ValueError(f"{place or 'the schema'} refers to itself without end; give an example")

    def _target(self, reference: str, place: str) -> Mapping[str, Any]:
        found: Any = self._root
        for part in filter(None, reference.removeprefix("#").split("/")):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            return found
        raise ValueError(f"{place or 'the schema'} refers to {reference!r}, which is not in the schema")


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind).lower()  # one provider writes STRING


def _not_null(choices: list[Any]) -> Any:
    return next((one for one in choices if not (isinstance(one, Mapping) and one.get("type") == "null")), choices[0])


def _merged(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for part in parts:
        joined = {
            "properties": {**made.get("properties", {}), **part.get("properties", {})},
            "required": [*made.get("required", ()), *part.get("required", ())],
        }
        made = {**made, **part, **{key: value for key, value in joined.items() if value}}
    return made
