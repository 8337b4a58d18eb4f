"""What the Gemini routes share: paths, both spellings of a field, lists of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.wire import dump

Framing = Literal["plain", "sse", "array"]
"""How a reply is wrapped: one object; events, where `alt=sse` is asked for; a list that grows, where it is not."""

JSON = ("content-type", "application/json; charset=UTF-8")
SSE = ("content-type", "text/event-stream")
_VERSION = re.compile(r"/(v\d[a-z0-9]*)/")
_ASKED = re.compile(r"/(?:models|tunedModels|endpoints)/([^/:]+):([A-Za-z]+)/?\Z")
_UPPER = re.compile(r"(?<!^)([A-Z])")


def asked(path: str) -> tuple[str, str] | None:
    """The model and the method in a path such as `/v1beta/models/m:generateContent`, Vertex's included; or None."""
    found = _ASKED.search(path)
    return (found[1], found[2]) if found else None


def version_of(path: str) -> str:
    """The version of the API in a path, `v1` where there is none."""
    found = _VERSION.search(path)
    return found[1] if found else "v1"


def field(data: Mapping[str, Any], name: str) -> Any:
    """A field under its camelCase name or the same in snake_case, both of which the provider reads; None without it."""
    return data[name] if name in data else data.get(snake(name))


@cache
def snake(name: str) -> str:
    """The name of a field in snake_case."""
    return _UPPER.sub(r"_\1", name).lower()


def listed(value: Any) -> list[Any]:
    """A repeated field as a list; the provider takes one object for a list of it."""
    return value if isinstance(value, list) else [] if value is None else [value]


def whole(data: Any, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A reply of one object that needs no script."""
    return Reply(status, (JSON, *headers), (Chunk(dump(data)),))
