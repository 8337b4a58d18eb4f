"""What one run did: typed events in order, as JSON lines, written as they happen.

Every verdict is computed from these events and the ledger alone. A line is handed to the operating
system before the program goes on, so a killed process loses nothing it had recorded.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, dataclass_transform

from pydantic_core import to_json

_KINDS: dict[str, type[Event]] = {}
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DEEPEST = 100
_LONG_INT_BITS = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `seq` counts from 1 in its run; `t_s` is virtual seconds since the run began."""

    kind: ClassVar[str] = ""
    names: ClassVar[tuple[str, ...]] = ()
    of_the_wire: ClassVar[bool] = False
    """Whether there is nothing in it but what came as JSON, or goes so: it is written by the fast encoder."""
    values: ClassVar[operator.attrgetter[tuple[Any, ...]]]
    seq: int = 0
    t_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The event as plain JSON data, `kind` included."""
        return {"kind": self.kind, **dict(zip(self.names, self.values(self), strict=True))}


EventT = TypeVar("EventT", bound=Event)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _event(kind: str) -> Callable[[type[EventT]], type[EventT]]:
    """Register a subclass under the name it has in JSON."""

    def register(cls: type[EventT]) -> type[EventT]:
        made = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.kind = kind
        made.names = tuple(field.name for field in dataclasses.fields(made))
        made.values = operator.attrgetter(*made.names)  # a callable that does not bind: it takes the event
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
    """The agent under test was called; `life` counts restarts from 1, `description` is what it says of itself.

    `restartable` says that it is started again where its process dies.
    `can` is what can be done to it while it runs: `disconnect` and `request` cancel it, `second-worker` starts another
    worker on its task.
    """

    life: int
    description: dict[str, Any]
    restartable: bool = False
    can: list[str] = dataclasses.field(default_factory=list)


@_event("model_requested")
class ModelRequested(Event):
    """One wire request to a model arrived. `messages` is the history as the agent sent it."""

    of_the_wire: ClassVar[bool] = True
    site: str
    call: int
    attempt: int
    model: str
    stream: bool
    messages: list[dict[str, Any]]
    body_sha256: str
    key: str | None = None


@_event("model_refused")
class ModelRefused(Event):
    """A request arrived that the provider refuses; it is no call, and the script is not asked.

    `message` is what the provider said. `about` is `history` where the messages could never be sent as they are, else
    `request`; `param` names the field at fault, `at_fault` is the message at fault as JSON, cut, "" where none is
    named. `body_sha256` tells whether two were the same, byte for byte.
    """

    codec: str
    status: int
    param: str | None
    message: str
    about: str
    body_sha256: str
    at_fault: str = ""


@_event("model_replied")
class ModelReplied(Event):
    """What of a reply reached the agent before it ended, and how it ended.

    `end` is `complete` (terminal marker delivered), `cut` (the body ended without it), `timeout` (the client's
    own limit), `closed` (the client stopped reading), `hung` (it would wait for ever). It is written at once when the
    terminal marker is handed over. `events` counts the SSE events the whole reply has, `delivered` those that were
    read until then. `heard` says that the agent got the turn the script meant.
    """

    of_the_wire: ClassVar[bool] = True
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


@_event("service_answered")
class ServiceAnswered(Event):
    """A route of a provider that needs no script was asked: embeddings, the list of models. It is no model call."""

    service: str
    path: str
    status: int


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
    """How a tool call ended for the agent: `ok`, `error` (the tool's own), `lost` (no reply arrived), `refused`.

    `refused` is a failure of a fault's making: the tool has done nothing, and the agent is told.
    """

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
    """The agent's own store made something durable.

    `finished` are the idempotency keys of the steps that it finished, `life` the process that wrote it, `stage` where
    the task stands then, `workflow` the version of the agent's workflow that the task is on. `file` is the name of the
    file that was written, "" where that is not known.
    """

    site: str
    label: str
    finished: list[str] = dataclasses.field(default_factory=list)
    life: int = 1
    stage: str = ""
    workflow: str = ""
    file: str = ""


@_event("event_delivered")
class EventDelivered(Event):
    """Something from outside was handed to the agent, and the agent acknowledged it.

    `fields` says that its payload is an object, which may have further fields.
    """

    site: str
    source: str
    event_id: str
    event: str
    fields: bool = False


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


@_event("task_chosen")
class TaskChosen(Event):
    """Several tasks were ready at one moment: how many, and which of them went first, from 1 in the usual order."""

    site: str
    ready: int
    picked: int


@_event("cancel_asked")
class CancelAsked(Event):
    """The agent's task was cancelled while it was under way: `disconnect` by a client, or `request` by a user."""

    site: str
    by: str


@_event("agent_left")
class AgentLeft(Event):
    """What was still there when the agent's call had ended, and was not there when it began.

    Tasks by their coroutine, threads by their name, child processes by their command, sockets by their peer. After a
    cancel they had a moment to end; in a clean run they are as they were.
    """

    tasks: list[str]
    threads: list[str]
    children: list[str]
    sockets: list[str]


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
    """The events of one run, in memory and, where a file is given, on disk line by line.

    `keep` is how many of the last events stay in memory at least, None for all of them: no verdict can be computed
    from a part.
    """

    def __init__(self, clock: Stamp, file: TraceFile | None = None, *, keep: int | None = None) -> None:
        self._clock = clock
        self._file = file
        self._keep = keep
        self._dropped = 0
        # Agents use threads. Reentrant: a finalizer may append while its own thread is in here.
        self._lock = threading.RLock()
        self.events: list[Event] = []

    def append(self, event: Event) -> None:
        """Number and stamp the event, keep it, and write its line. Raises ValueError for one that is kept already."""
        if event.seq:
            raise ValueError(f"event {event.seq} of a trace is appended once more: {event!r}; make a new one")
        with self._lock:
            # The event itself and not a copy: it is nobody's yet.
            object.__setattr__(event, "seq", self._dropped + len(self.events) + 1)
            object.__setattr__(event, "t_s", round(self._clock.elapsed_s, 6))
            self.events.append(event)
            if self._file is not None:
                self._file.write(event)
            if self._keep is not None and len(self.events) >= 2 * self._keep:
                self._dropped += len(self.events) - self._keep
                del self.events[: -self._keep]

    def go_on(self, events: Iterable[Event], file: TraceFile) -> None:
        """Continue the run of an earlier process, in its file: its events take the place of those so far."""
        self.events = list(events)
        self._file = file

    def of(self, kind: type[EventT]) -> Iterator[EventT]:
        """The events of one type, in order."""
        return (event for event in self.events if isinstance(event, kind))


class TraceFile:
    """An append-only file of JSON lines; the runs of one test follow one another in it.

    It begins empty, unless it is to `go_on` with what an earlier process wrote.
    """

    def __init__(self, path: Path, *, go_on: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not go_on:
            # Not cut to nothing: ext4 sends to the disk what is then written anew.
            path.unlink(missing_ok=True)
        self._fd: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
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
    data = event.to_dict()
    if event.of_the_wire:
        try:
            line = to_json(data)
        except ValueError:
            line = b"NaN"
        if b"NaN" not in line and b"Infinity" not in line:  # else it is no JSON, or a word in it only looks so
            return line + b"\n"
    try:
        text = _JSON.encode(data)
    except (TypeError, ValueError, RecursionError):
        text = _JSON.encode(plain(data))
    # Only a lone surrogate does not encode, and `\udc80` is how JSON spells it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def load_line(line: bytes | str) -> Event:
    """The event a line holds. Raises ValueError for a line that is no event of ours."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a trace event: {_excerpt(line)}; expected a line of JSON ({error})") from error
    kind = _KINDS.get(str(data.pop("kind", ""))) if isinstance(data, dict) else None
    if kind is None:
        known = ", ".join(sorted(_KINDS))
        raise ValueError(f"not a trace event: {_excerpt(line)}; expected an object whose 'kind' is one of {known}")
    try:
        return kind(**data)
    except TypeError as error:
        raise ValueError(f"a {kind.kind!r} event with the wrong fields: {error}") from error


def plain(value: object, _depth: int = 0) -> Any:
    """The value as JSON data that shares nothing with it. What JSON cannot say becomes text, so it never fails."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _LONG_INT_BITS else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if _depth >= _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {key if isinstance(key, str) else safe_repr(key): plain(item, _depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, _depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(safe_repr(item) for item in value)
    return safe_repr(value)


def safe_repr(value: object) -> str:
    """`repr` that never raises, and that is the same in every process: without memory addresses."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - an author's __repr__ may raise anything
        text = f"<{type(value).__qualname__}, whose repr raised {type(error).__name__}>"
    return without_addresses(text)


def without_addresses(text: str) -> str:
    """The text without ` at 0x7f…`, which no two processes share."""
    return _ADDRESS.sub("", text)


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=safe_repr, separators=(",", ":"))


def _excerpt(line: bytes | str) -> str:
    return repr(line[:80])
