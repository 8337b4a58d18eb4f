"""Decisions: what the planner may say of a task. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from agentfsm.contracts import ToolContract
from agentfsm.records import Outcome
from agentfsm.states import Event
from agentfsm.waits import Wait

Off = Callable[[ToolContract], str | None]
"""Says why a tool is not to be had now, or None."""
CORRECTABLE = frozenset({"invalid_input", "truncated"})
"""Codes of failed steps that the model is told about; every other failed step ends the task or falls back."""


class Wanted(Protocol):
    """A call that somebody wants made: a model's, or one of our own."""

    @property
    def id(self) -> str:
        """How its result is told apart; empty for our own."""

    @property
    def name(self) -> str:
        """Of the tool."""

    @property
    def arguments(self) -> str:
        """As JSON text."""


@dataclass(frozen=True, slots=True)
class OwnCall:
    """A call that the orchestrator itself makes."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class AskModel:
    """Ask the model for its next turn."""


class RunTool(NamedTuple):
    """Run an allowed call whose arguments have been checked, and hashed. `call_id` is empty for a call of our own."""

    tool: str
    arguments: Mapping[str, Any]
    call_id: str
    hash: str


class RunTools(NamedTuple):
    """Run these calls at the same time."""

    calls: tuple[RunTool, ...]


@dataclass(frozen=True)
class Refuse:
    """Answer a proposal, or a final text (`call_id` empty), with a reason instead of a result."""

    tool: str | None
    call_id: str
    code: str
    reason: str


@dataclass(frozen=True)
class Await:
    """Begin the wait that this stage declares; `answer` is the question, or what is known so far."""

    wait: Wait
    answer: str


@dataclass(frozen=True)
class Approve:
    """Ask a person whether this call may be run; `hash` is that of the very call."""

    hash: str
    call: RunTool


@dataclass(frozen=True)
class End:
    """End the task."""

    event: Event
    outcome: Outcome
    cause: str | None = None
    answer: str = ""


Decision = AskModel | RunTools | Refuse | Await | Approve | End
