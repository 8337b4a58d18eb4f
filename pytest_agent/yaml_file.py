"""Read a YAML file that may be hostile, and say where in it an error is.

What JSON can say and nothing else, no aliases (they make bombs), no tags, no duplicate keys, bounded size and depth.
Scalars are those of YAML 1.2's core schema: `yes`, `12:30` and `2026-01-01` are text. Every value keeps its line, so
that a message can name file, line, what was found, what was expected and the edit to make.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.problems import say_problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 30
MAX_VALUES = 20_000
_LARGEST_INT = 2**63 - 1

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_NO_CHARACTER = re.compile(r"\\U(?!000|0010)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

Place = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The data of one file and the line of every value in it, by path."""

    path: Path
    shown: str
    data: dict[str, Any]
    lines: Mapping[Place, int] = field(repr=False)

    def where(self, place: Place) -> str:
        """`file:line` of a value, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.shown}:{self.lines.get(place, 1)}"

    def error(self, place: Place, message: str) -> UsageError:
        """An error at a place in this file."""
        name = _dotted(place)
        return UsageError(f"{self.where(place)} {name + ': ' if name else ''}{message}")

    def validate(self, model: type[ModelT], place: Place = ()) -> ModelT:
        """The data at `place` as a model. Raises UsageError with one line for each thing that is wrong."""
        data: Any = self.data
        for part in place:
            data = data[part]
        try:
            return model.model_validate(data)
        except ValidationError as error:
            problems = dict.fromkeys(self._problem(model, place, item) for item in error.errors())
            raise UsageError("\n".join(problems)) from None

    def _problem(self, model: type[BaseModel], place: Place, item: Any) -> str:
        inner = place
        for part in item["loc"]:
            # pydantic adds its own labels, such as the name of a function or of a type: they are nowhere in the file.
            if (*inner, part) in self.lines:
                inner = (*inner, part)
        if item["type"] == "extra_forbidden":
            known = sorted(_fields_at(model, item["loc"][:-1]))
            message = f"unknown key {item['loc'][-1]!r}.{did_you_mean(str(item['loc'][-1]), known)}"
        elif item["type"] == "missing":
            message = f"key {item['loc'][-1]!r} is missing; add it"
        else:
            message = say_problem(item, sorted(_fields_at(model, item["loc"])))
        return str(self.error(inner, message))


def read_yaml(path: Path, shown: str | None = None, *, list_as: str | None = None) -> YamlFile:
    """The mapping in a file. Raises UsageError for anything else; `shown` is the name messages use.

    `list_as`: the file is a list, or has nothing in it, and becomes the value of this key.
    """
    name = shown or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{name}: the file has more than {MAX_BYTES:,} bytes, which is as much as is read; split it")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UsageError(f"{name}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    return parse_yaml(text, path, name, list_as=list_as)


def parse_yaml(text: str, path: Path, shown: str, *, list_as: str | None = None) -> YamlFile:
    """The mapping, or the list, in a text; as `read_yaml`."""
    try:
        _check_shape(text, shown)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UsageError(f"{shown}:{_line_of(error, text)}: not valid YAML: {_problem_of(error)}") from None
    except (ValueError, OverflowError):
        line = next((n for n, text in enumerate(text.splitlines(), start=1) if _NO_CHARACTER.search(text)), 1)
        raise UsageError(f"{shown}:{line}: not valid YAML: an escape that stands for no character") from None
    lines: dict[Place, int] = {}
    if list_as is not None:
        return YamlFile(path, shown, {list_as: _list(node, shown, lines, list_as)}, lines)
    if not isinstance(node, yaml.MappingNode):
        found = "nothing" if node is None else _kind(node)
        raise UsageError(f"{shown}:1: expected a mapping of keys to values, found {found}")
    data = _Reader(shown, lines).read(node, ())
    return YamlFile(path, shown, data, lines)


def _list(node: yaml.Node | None, shown: str, lines: dict[Place, int], key: str) -> list[Any]:
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        line = node.start_mark.line + 1
        raise UsageError(f"{shown}:{line}: expected a list, found {_kind(node)}; begin each entry with '- '")
    found: list[Any] = _Reader(shown, lines).read(node, (key,))
    return found


def _line_of(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return int(mark.line) + 1
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1


def _problem_of(error: yaml.YAMLError) -> str:
    parts = [getattr(error, "context", None), getattr(error, "problem", None)]
    return " ".join(part for part in parts if part) or str(error).splitlines()[0]


def _check_shape(text: str, shown: str) -> None:
    """Refuse aliases, deep nesting and floods on the flat stream of events, before anything is built from it."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = _line(event)
            raise UsageError(f"{shown}:{line}: alias *{event.anchor} is not read here; write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise UsageError(f"{shown}:{_line(event)}: tag {_short_tag(tag)} is not read here; remove it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = _line(event)
                raise UsageError(f"{shown}:{line}: nested more than {MAX_DEPTH} levels deep; flatten it")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if values > MAX_VALUES:
                raise UsageError(f"{shown}:{_line(event)}: more than {MAX_VALUES:,} values in one file; split it")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


class _Reader:
    def __init__(self, shown: str, lines: dict[Place, int]) -> None:
        self._shown = shown
        self._lines = lines

    def read(self, node: yaml.Node, place: Place) -> Any:
        self._lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        return [self.read(item, (*place, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, f"a key must be text, found {_kind(key_node)}; write a plain name")
            key = self._scalar(key_node)
            if not isinstance(key, str):
                raise self._error(key_node, f"a key must be text, found {key!r}; put it in quotes")
            if key in made:
                raise self._error(key_node, f"key {key!r} is given twice; keep one")
            made[key] = self.read(value_node, (*place, key))
            self._lines[(*place, key)] = key_node.start_mark.line + 1
        return made

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text: str = node.value
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self._error(node, "half of a surrogate pair is no character; write the character itself")
        return text if node.style is not None else self._plain(node, text)

    def _plain(self, node: yaml.ScalarNode, text: str) -> str | int | float | bool | None:
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            base = {"0x": 16, "0o": 8}.get(text[:2], 10)
            number = int(text, base) if len(text) < 100 else _LARGEST_INT + 1
            if abs(number) > _LARGEST_INT:
                raise self._error(node, f"the number {text[:20]}… is out of range; put it in quotes if it is a name")
            return number
        if _FLOAT.fullmatch(text):
            value = float(text)
            if not math.isfinite(value):
                raise self._error(node, f"the number {text[:20]} is out of range")
            return value
        return text

    def _error(self, node: yaml.Node, message: str) -> UsageError:
        return UsageError(f"{self._shown}:{node.start_mark.line + 1}: {message}")


def _short_tag(tag: str) -> str:
    return "!!" + tag.removeprefix("tag:yaml.org,2002:") if tag.startswith("tag:yaml.org,2002:") else tag


def _kind(node: yaml.Node) -> str:
    return f"a {type(node).__name__.removesuffix('Node').lower()}"


def _fields_at(model: Any, place: tuple[int | str, ...]) -> set[str]:
    """The keys a model knows at a place: through lists, mappings and alternatives, to the model that is there."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        if not place:
            return {info.alias or name for name, info in model.model_fields.items()}
        named = {info.alias or name: info for name, info in model.model_fields.items()}
        info = named.get(str(place[0]))
        return _fields_at(info.annotation, place[1:]) if info is not None else set()
    found: set[str] = set()
    for inner in _parts(model):
        for rest in (place, place[1:]):
            found |= _fields_at(inner, rest)
    return found


def _parts(annotation: Any) -> Iterator[Any]:
    return (part for part in get_args(annotation) if part is not annotation)


def _dotted(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
