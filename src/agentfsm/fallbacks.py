"""Fallbacks: what is done, in order, where a tool cannot do its work and nothing is in doubt. Pure data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentfsm.errors import DefinitionError


@dataclass(frozen=True)
class OtherTool:
    """Another tool answers. `arguments` and `answer` turn ours into its, and its answer into ours."""

    tool: str
    arguments: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda arguments: arguments
    answer: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda output: output


@dataclass(frozen=True)
class Cached:
    """The last answer to the same arguments, not older than `max_age_s` seconds. For tools without effect."""

    max_age_s: float

    def __post_init__(self) -> None:
        _positive("Cached(max_age_s=...)", self.max_age_s)


@dataclass(frozen=True)
class Degraded:
    """A fixed answer; a task that ends well with it ends as `partial`, cause `degraded`."""

    output: Mapping[str, Any]


@dataclass(frozen=True)
class Person:
    """A person answers within `timeout_s` seconds, by an event `person.answered` whose payload is the output."""

    timeout_s: float

    def __post_init__(self) -> None:
        _positive("Person(timeout_s=...)", self.timeout_s)


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise DefinitionError(f"{name} is {value!r}; give seconds above 0")


Fallback = OtherTool | Cached | Degraded | Person
