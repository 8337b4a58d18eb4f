"""What one run did: typed events in order, as JSON lines, written as they happen.

Every verdict is computed from these events and the ledger alone. A line is handed to the operating
system before the program goes on, so a killed process loses nothing it had recorded.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, dataclass_transform

_KINDS: dict[str, type[Event]] = {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `seq` counts from 1 in its run; `t_s` is virtual seconds since the run began."""

    kind: ClassVar[str] = ""
    seq: int = 0
    t_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The event as plain JSON data, `kind` included."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, **values}


EventT = TypeVar("EventT", bound=Event)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _event(kind: str) -> Callable[[type[EventT]], type[EventT]]:
    """Register a subclass under the name it has in JSON."""

    def register(cls: type[EventT]) -> type[EventT]:
        made = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.kind = kind
        _KINDS[kind] = made
        return made

    return register


@_event("run_started")
class RunStarted(Event):
    """The first event of every run. `schedule` is the text form, empty for a clean run."""

    test: str
    schedule: str
    seed: int


@_event("agent_started")
class AgentStarted(Event):
    """The agent under test was called; `life` counts restarts from 1, `description` is what it says of itself."""

    life: int
    description: dict[str, Any]


@_event("model_requested")
class ModelRequested(Event):
    """One wire request to a model arrived. `messages` is the history as the agent sent it."""

    site: str
    call: int
    attempt: int
    model: str
    stream: bool
    messages: list[dict[str, Any]]
    body_sha256: str


@_event("model_replied")
class ModelReplied(Event):
    """What of a reply reached the agent before it ended, and how it ended.

    `end` is `complete` (terminal marker delivered), `cut` (the body ended without it), `timeout` (the client's
    own limit), `closed` (the client stopped reading), `hung` (it would wait for ever). `events` counts the SSE
    events the whole reply has, `delivered` those that were read. `heard` says that the agent got the turn the
    script meant.
    """

    site: str
    call: int
    attempt: int
    status: int
    end: str
    streamed: bool
    events: int
    delivered: int
    terminal_at: int | None
    text: str
    calls: list[dict[str, Any]]
    error_code: str | None
    heard: bool


@_event("tool_called")
class ToolCalled(Event):
    """A tool was invoked. `problem` says why the call was not valid, or is None."""

    site: str
    tool: str
    call: int
    attempt: int
    arguments: dict[str, Any]
    key: str | None
    effect: bool
    problem: str | None


@_event("tool_replied")
class ToolReplied(Event):
    """How a tool call ended for the agent: `ok`, `error` (the tool's own), or `lost` (no reply arrived)."""

    site: str
    tool: str
    status: str
    detail: str


@_event("effect_committed")
class EffectCommitted(Event):
    """A tool changed the world: one line of the ledger."""

    entry: int
    site: str
    tool: str
    arguments: dict[str, Any]
    key: str | None


@_event("store_committed")
class StoreCommitted(Event):
    """The agent's own store made something durable."""

    site: str
    label: str


@_event("agent_event")
class AgentEvent(Event):
    """What the agent itself reports: a transition, a proposal, a decision."""

    data: dict[str, Any]


@_event("fault_applied")
class FaultApplied(Event):
    """A fault of the schedule struck. `detail` is one line for a person."""

    fault: str
    site: str
    detail: str


@_event("died")
class Died(Event):
    """The agent's process ended at this site."""

    site: str


@_event("outcome_claimed")
class OutcomeClaimed(Event):
    """What the agent says of its task. `errors` names the exception and what it was raised from, outermost first."""

    outcome: str
    cause: str | None
    detail: str
    errors: list[str]
    crash: bool


@_event("world_checked")
class WorldChecked(Event):
    """A predicate over the world, evaluated when the run was over."""

    name: str
    holds: bool
    detail: str


@_event("assertion_failed")
class AssertionFailed(Event):
    """An assertion of the test itself did not hold."""

    detail: str


@_event("unanswered")
class Unanswered(Event):
    """A request or connection that nothing in the test answers."""

    detail: str


@_event("run_aborted")
class RunAborted(Event):
    """The harness ended the run: `hung` (waits for what never comes) or `runaway` (never stops asking)."""

    reason: str
    detail: str


class Stamp(Protocol):
    """The clock a trace reads: virtual seconds since the run began."""

    @property
    def elapsed_s(self) -> float:
        """Virtual seconds since the run began."""


class Trace:
    """The events of one run, in memory and, where a file is given, on disk line by line."""

    def __init__(self, clock: Stamp, file: TraceFile | None = None) -> None:
        self._clock = clock
        self._file = file
        self.events: list[Event] = []

    def append(self, event: Event) -> None:
        """Number and stamp the event, keep it, and write its line."""
        stamped = dataclasses.replace(event, seq=len(self.events) + 1, t_s=round(self._clock.elapsed_s, 6))
        self.events.append(stamped)
        if self._file is not None:
            self._file.write(stamped)

    def of(self, kind: type[EventT]) -> Iterator[EventT]:
        """The events of one type, in order."""
        return (event for event in self.events if isinstance(event, kind))


class TraceFile:
    """An append-only file of JSON lines; the runs of one test follow one another in it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC
        self._fd: int | None = os.open(path, flags, 0o644)
        self.path = path

    def write(self, event: Event) -> None:
        """One event, one line, one system call."""
        if self._fd is not None:
            os.write(self._fd, dump_line(event))

    def close(self) -> None:
        """Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def dump_line(event: Event) -> bytes:
    """The event as one line of JSON, newline included. What JSON cannot say is written as its `repr`."""
    text = json.dumps(event.to_dict(), ensure_ascii=False, default=repr, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def load_line(line: bytes | str) -> Event:
    """The event a line holds. Raises ValueError for a line that is no event of ours."""
    data = json.loads(line)
    if not isinstance(data, dict) or data.get("kind") not in _KINDS:
        known = ", ".join(sorted(_KINDS))
        raise ValueError(f"not a trace event: {str(line)[:80]!r}; expected an object whose 'kind' is one of {known}")
    kind = _KINDS[data.pop("kind")]
    try:
        return kind(**data)
    except TypeError as error:
        raise ValueError(f"a {kind.kind!r} event with the wrong fields: {error}") from error
