"""JSON schemas of contracts: the one source of what the model is told, of types and of docs, with units in it."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Field

Schema = dict[str, Any]

_MAPS = ("properties", "patternProperties", "$defs")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "contains")
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} character(s)",
    "maxLength": "at most {} character(s)",
    "minItems": "at least {} item(s)",
    "maxItems": "at most {} item(s)",
    "pattern": "matches {}",
}


def unit(name: str) -> Any:
    """Say the unit of a number: `amount: Annotated[int, unit("EUR cents")]`. A number that only names is an `id`."""
    return Field(json_schema_extra={"unit": name})


@functools.cache
def json_schema(model: type[BaseModel]) -> Schema:
    """Return the schema of what a model accepts. Made once for all callers: do not change it."""
    return model.model_json_schema()


def own_schema(model: type[BaseModel]) -> Schema:
    """Return the same schema, the caller's own."""
    schema: Schema = json.loads(_text(model))
    return schema


@functools.cache
def _text(model: type[BaseModel]) -> str:
    return json.dumps(json_schema(model))


@functools.cache
def spoken(model: type[BaseModel]) -> Schema:
    """Return the schema as a language model is told it: units and limits also in words. Do not change it either."""
    schema = copy.deepcopy(json_schema(model))
    for node in list(_nodes(schema)):
        for name, field in node.get("properties", {}).items():
            if text := in_words(field):
                node["properties"][name] = {**field, "description": text}
    for node in list(_nodes(schema)):
        node.pop("unit", None)  # no word of JSON schema, and some providers refuse those
    return schema


def in_words(field: Schema) -> str:
    """Return the description of a field with its unit and its limits."""
    said = str(field.get("description", "")).strip()
    facts = facts_of(field)
    if said and facts and not said.endswith((".", "!", "?")):
        said += "."
    listed = "; ".join(facts)
    return " ".join(part for part in (said, listed[:1].upper() + listed[1:] + "." if listed else "") if part)


def facts_of(field: Schema) -> list[str]:
    """Return the unit and the limits of a field, each in words."""
    found = [f"unit: {field['unit']}"] if "unit" in field else []
    found += [words.format(field[key]) for key, words in _LIMITS.items() if key in field]
    for branch in field.get("anyOf", ()):
        found += facts_of(branch)
    if isinstance(field.get("items"), dict) and (inner := facts_of(field["items"])):
        found.append("each " + ", ".join(inner))
    return list(dict.fromkeys(found))


def unitless(model: type[BaseModel]) -> list[str]:
    """Return the numeric fields that say no unit, as paths: `offers[].amount`."""
    schema = json_schema(model)
    return sorted(dict.fromkeys(_unitless(schema, schema.get("$defs", {}), "", said=False, inside=frozenset())))


def _unitless(node: Any, defs: Mapping[str, Any], path: str, *, said: bool, inside: frozenset[str]) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    name = node.get("unit")
    said = said or (isinstance(name, str) and bool(name.strip()))
    if {node.get("type")} & {"integer", "number"} and not said:
        yield path or "(itself)"
    ref = str(node.get("$ref", "")).rpartition("/")[2]
    if ref and ref not in inside:
        yield from _unitless(defs.get(ref), defs, path, said=said, inside=inside | {ref})
    for key in ("properties", "patternProperties"):
        for name, inner in node.get(key, {}).items():
            place = f"{path}.{name}" if path else name
            yield from _unitless(inner, defs, place, said=False, inside=inside)
    for key in _LISTS:
        for inner in node.get(key, ()):
            yield from _unitless(inner, defs, path, said=said, inside=inside)
    yield from _unitless(node.get("items"), defs, f"{path}[]", said=said, inside=inside)
    yield from _unitless(node.get("additionalProperties"), defs, f"{path}{{}}", said=said, inside=inside)


@functools.cache
def always_json(model: type[BaseModel]) -> bool:
    """Whether every dump of a model is JSON by its very types: no float, which may be NaN, and nothing untyped."""
    schema = model.model_json_schema(mode="serialization")
    return all(_closed(node) for node in _nodes(schema))


def _closed(node: Schema) -> bool:
    if node.get("type") == "object":
        return node.get("additionalProperties") is not True and ("properties" in node or "additionalProperties" in node)
    if node.get("type") == "array":
        return "items" in node or "prefixItems" in node
    kinds = {"string", "integer", "boolean", "null"}
    return node.get("type") in kinds or any(key in node for key in ("$ref", "const", *_LISTS))


def _nodes(schema: Any) -> Iterator[Schema]:
    """Yield every schema in a schema, the outermost first."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key in _MAPS:
        for inner in schema.get(key, {}).values():
            yield from _nodes(inner)
    for key in _LISTS:
        for inner in schema.get(key, ()):
            yield from _nodes(inner)
    for key in _SINGLE:
        yield from _nodes(schema.get(key))
