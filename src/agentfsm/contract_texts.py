"""Texts made from contracts: Python types for who writes a tool, and Markdown for who reads about it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from agentfsm.contracts import ToolContract
from agentfsm.schemas import facts_of, json_schema

_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_HEAD = '''"""Types of the tools' arguments and answers, made from their contracts. Change those, not this."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict
'''


def types_source(contracts: Iterable[ToolContract]) -> str:
    """Return Python source with a TypedDict for the input and the output of each contract: `OrdersLookupV1Input`."""
    parts = [_HEAD]
    for contract in contracts:
        for side, model in (("Input", contract.input), ("Output", contract.output)):
            name = _camel(contract.name) + f"V{contract.version}" + side
            schema = json_schema(model)
            types = _Types(schema.get("$defs", {}), name)
            records = {k: v for k, v in types.defs.items() if "properties" in v}
            parts += [types.source(f"{name}{_camel(inner)}", record) for inner, record in records.items()]
            parts.append(types.source(name, schema))
    return "\n\n".join(parts)


def docs(contracts: Iterable[ToolContract]) -> str:
    """Return a Markdown page of the contracts: what each does, what it takes and answers, and in which units."""
    return "\n".join(line for contract in contracts for line in _page(contract))


def _camel(name: str) -> str:
    words = re.split(r"[^A-Za-z0-9]+", name)
    return "".join(word[:1].upper() + word[1:] for word in words)


def _comment(facts: list[str]) -> str:
    return "  # " + _line("; ".join(facts)) if facts else ""


class _Types:
    """Types of one schema. A definition with fields is a class, called prefix and name; any other is written out."""

    def __init__(self, defs: Mapping[str, Any], prefix: str) -> None:
        self.defs = defs
        self._prefix = prefix

    def source(self, name: str, schema: dict[str, Any]) -> str:
        """Return the class of a schema with fields, or else an alias."""
        if "properties" not in schema:
            return f"{name} = {self.of(schema)}\n"
        required = set(schema.get("required", ()))
        fields = []
        for key, field in schema["properties"].items():
            written = self.of(field)
            fields.append((key, written if key in required else f"NotRequired[{written}]", _comment(facts_of(field))))
        if all(key.isidentifier() and not keyword.iskeyword(key) for key, _, _ in fields):
            lines = [f"    {key}: {written}{comment}" for key, written, comment in fields] or ["    pass"]
            return f"class {name}(TypedDict):\n" + "\n".join(lines) + "\n"
        lines = [f"        {key!r}: {written!r},{comment}" for key, written, comment in fields]
        return f"{name} = TypedDict(\n    {name!r},\n    {{\n" + "\n".join(lines) + "\n    },\n)\n"

    def of(self, schema: Any, inside: frozenset[str] = frozenset()) -> str:
        """Return the type of a value that satisfies the schema."""
        if not isinstance(schema, dict):
            return "Any"
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if "properties" in self.defs.get(name, {}):
                return self._prefix + _camel(name)
            return "Any" if name in inside else self.of(self.defs.get(name), inside | {name})
        if "const" in schema or "enum" in schema:
            values = schema.get("enum", [schema.get("const")])
            plain = all(value is None or isinstance(value, (str, int)) for value in values)
            return f"Literal[{', '.join(map(repr, values))}]" if plain else "Any"
        if branches := schema.get("anyOf") or schema.get("oneOf"):
            return " | ".join(dict.fromkeys(self.of(branch, inside) for branch in branches))
        kind = schema.get("type")
        if kind == "array":
            return f"list[{self.of(schema.get('items'), inside)}]"
        if kind == "object":
            return f"dict[str, {self.of(schema.get('additionalProperties'), inside)}]"
        return _SCALARS.get(str(kind), "Any")


def _page(contract: ToolContract) -> Iterator[str]:
    yield f"## {contract.label}\n"
    if contract.deprecated:
        yield f"**Deprecated.** Use instead: {_line(contract.deprecated)}\n"
    if contract.description:
        yield f"{_line(contract.description)}\n"
    changes = f", changes: {', '.join(map(_line, contract.effects))}" if contract.effects else ""
    yield f"- Effect: {contract.effect.value}{changes}"
    if contract.compensates:
        yield f"- Undoes: {contract.compensates}"
    if contract.destructive or contract.approval:
        why = "destructive, so a" if contract.destructive else "a"
        yield f"- Approval: {why} person approves each call"
    if contract.flag:
        yield f"- Flag: {_line(contract.flag)}"
    yield f"- Limits: {'; '.join(_limits(contract))}"
    codes = ", ".join(f"`{code}`" for code in sorted(contract.error_codes))
    yield f"- Error codes: {codes or 'any'}\n"
    yield from _table("Input", contract.input)
    yield from _table("Output", contract.output)


def _limits(contract: ToolContract) -> Iterator[str]:
    yield f"{contract.timeout_s:g} s a call"
    if contract.concurrency is not None:
        yield f"{contract.concurrency} at once"
    if contract.per_minute is not None:
        yield f"{contract.per_minute:g} a minute"


def _table(title: str, model: type[BaseModel]) -> Iterator[str]:
    schema = json_schema(model)
    named = [(title, schema), *((f"{title}: {_line(name)}", inner) for name, inner in schema.get("$defs", {}).items())]
    for heading, part in named:
        types = _Types(schema.get("$defs", {}), "")
        yield f"### {heading}\n"
        yield "| field | type | required | unit and limits | meaning |\n|---|---|---|---|---|"
        for key, field in part.get("properties", {}).items():
            required = "yes" if key in part.get("required", ()) else "no"
            cells = (key, types.of(field), required, "; ".join(facts_of(field)), str(field.get("description", "")))
            yield "| " + " | ".join(_line(cell).replace("|", "\\|") for cell in cells) + " |"
        yield ""


def _line(text: str) -> str:
    """Return a text as one line, without control characters or HTML."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return flat.replace("<", "&lt;")
