"""Read a YAML file that may be hostile, and keep the line of every value for what is said about it later.

What JSON can say and nothing else: no aliases (they make bombs), no tags, no key twice, bounded size and depth. Scalars
are those of YAML 1.2's core schema: `yes` and `2026-01-01` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 200_000
MAX_DEPTH = 20
MAX_VALUES = 5_000

Place = tuple[str | int, ...]
Lines = dict[Place, str]
"""Where each value stands, as `file:line`."""

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?")


@dataclass
class YamlFile:
    """What one file says; `faults` has a line for everything in it that is not read."""

    shown: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: Lines = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read_yaml(path: Path, shown: str) -> YamlFile:
    """Read the mapping in a file. Never raises: what is wrong is among the faults, and then there are no data."""
    made = YamlFile(shown)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            made.faults.append(f"{shown}:1: the file has more than {MAX_BYTES:,} bytes, which is as much as is read")
            return made
        text = raw.decode("utf-8")
        made.faults += _shape_faults(text, shown)
        node = None if made.faults else yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        made.faults.append(f"{shown}:1: cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        made.faults.append(f"{shown}:{error.object[: error.start].count(10) + 1}: not UTF-8; save the file as UTF-8")
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = 1 if mark is None else mark.line + 1
        made.faults.append(f"{shown}:{line}: not valid YAML: {problem or 'a character that is not allowed'}")
    except (ValueError, OverflowError):
        made.faults.append(f"{shown}:1: not valid YAML: an escape that stands for no character")
    else:
        if isinstance(node, yaml.MappingNode):
            made.data = _Reader(made).mapping(node, ())
        elif not made.faults:
            made.faults.append(f"{shown}:1: expected a mapping of keys to values, such as `extends: base`")
    return made


def _shape_faults(text: str, shown: str) -> Iterator[str]:
    """Look for aliases, tags, depth and floods on the flat stream of events, before anything is built from it."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"{shown}:{event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, yaml.AliasEvent):
            yield f"{where}: alias *{event.anchor} is not read here; write the value out"
        elif getattr(event, "tag", None) is not None:
            yield f"{where}: a tag such as !!python is not read here; remove it"
        values += isinstance(event, yaml.ScalarEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or values > MAX_VALUES:
            yield f"{where}: more than {MAX_DEPTH} levels deep, or more than {MAX_VALUES:,} values"
            return


class _Reader:
    def __init__(self, file: YamlFile) -> None:
        self._file = file

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            where = self._where(key_node)
            if key is None or key in made:
                said = "a key must be a plain name" if key is None else f"key {key!r} is given twice; keep one"
                self._file.faults.append(f"{where}: {said}")
                continue
            made[key] = self._value(value_node, (*place, key))
            self._file.lines[(*place, key)] = where
        return made

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self._file.lines[place] = self._where(node)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        return _scalar(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else node.value

    def _where(self, node: yaml.Node) -> str:
        return f"{self._file.shown}:{node.start_mark.line + 1}"


def _scalar(text: str) -> str | int | float | bool | None:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) and len(text) < 100 else text
