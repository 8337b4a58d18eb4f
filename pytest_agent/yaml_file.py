"""Read a YAML file that may be hostile, and say where in it an error is.

Safe types only, no aliases (they make bombs), no duplicate keys, bounded size and depth. Every value keeps its line,
so that a message can name file, line, what was found, what was expected and the edit to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pytest_agent.errors import UsageError, did_you_mean

MAX_BYTES = 1_000_000
MAX_DEPTH = 30

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
            raise UsageError("\n".join(self._problem(model, place, item) for item in error.errors())) from None

    def _problem(self, model: type[BaseModel], place: Place, item: Any) -> str:
        inner = (*place, *(part for part in item["loc"] if _in_file(part)))
        message = item["msg"]
        if item["type"] == "extra_forbidden":
            known = _fields_at(model, item["loc"][:-1])
            message = f"unknown key {item['loc'][-1]!r}.{did_you_mean(str(item['loc'][-1]), known)}"
        elif item["type"] == "missing":
            message = f"key {item['loc'][-1]!r} is missing; add it"
            inner = inner[:-1]
        else:
            message = f"{message}, found {item['input']!r}"[:300]
        return str(self.error(inner, message))


def read_yaml(path: Path, shown: str | None = None) -> YamlFile:
    """The mapping in a file. Raises UsageError for anything else; `shown` is the name messages use."""
    name = shown or str(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UsageError(f"{name}: the file has {size:,} bytes; at most {MAX_BYTES:,} are read. Split it")
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror or error}") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UsageError(f"{name}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    return parse_yaml(text, path, name)


def parse_yaml(text: str, path: Path, shown: str) -> YamlFile:
    """The mapping in a text; as `read_yaml`."""
    try:
        _check_shape(text, shown)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{shown}:{line}: not valid YAML: {problem}") from None
    if not isinstance(node, yaml.MappingNode):
        found = "nothing" if node is None else f"a {type(node).__name__.removesuffix('Node').lower()}"
        raise UsageError(f"{shown}:1: expected a mapping of keys to values, found {found}")
    lines: dict[Place, int] = {}
    data = _Reader(shown, lines).read(node, ())
    return YamlFile(path, shown, data, lines)


def _check_shape(text: str, shown: str) -> None:
    """Refuse aliases and deep nesting on the flat stream of events, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = _line(event)
            raise UsageError(f"{shown}:{line}: alias *{event.anchor} is not read here; write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = _line(event)
                raise UsageError(f"{shown}:{line}: nested more than {MAX_DEPTH} levels deep; flatten it")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


class _Reader:
    def __init__(self, shown: str, lines: dict[Place, int]) -> None:
        self._shown = shown
        self._lines = lines
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, place: Place) -> Any:
        self._lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise UsageError(f"{self._shown}:{line}: a key must be text, found {key!r}; put it in quotes")
            if key in made:
                raise UsageError(f"{self._shown}:{line}: key {key!r} is given twice; keep one")
            made[key] = self.read(value_node, (*place, key))
            self._lines[(*place, key)] = line
        return made

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            problem = getattr(error, "problem", None) or str(error)
            raise UsageError(
                f"{self._shown}:{node.start_mark.line + 1}: {problem}; only plain values are read"
            ) from None


def _in_file(part: int | str) -> bool:
    # pydantic adds its own labels, such as the name of a function, to the places of errors.
    return isinstance(part, int) or "[" not in part


def _fields_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    for part in place:
        info = current.model_fields.get(part) if isinstance(part, str) else None
        inner = info.annotation if info is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        current = inner
    return sorted(info.alias or name for name, info in current.model_fields.items())


def _dotted(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
