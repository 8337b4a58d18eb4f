"""The durable records and `Commit`, the only thing that is ever written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from agentfsm.errors import DefinitionError
from agentfsm.states import State

Outcome = Literal["success", "partial", "failed", "cancelled", "limit", "unknown"]
Mode = Literal["live", "dry_run", "shadow"]
"""How a task acts on the world: `dry_run` and `shadow` answer every tool that has an effect with its example."""
INTERRUPTED = "interrupted"
"""`error_code` of an attempt that is in doubt because the process ended first."""


class _Record:
    """A frozen record that is copied with changes many times a step."""

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; many times as fast as `dataclasses.replace`."""
        copy = object.__new__(type(self))
        object.__setattr__(copy, "__dict__", self.__dict__ | changes)
        return copy


@dataclass(frozen=True)
class Task(_Record):
    """The task row. `version` is the one it was read at: 0 means that it is not stored yet.

    `ending` is an end that is decided while committed effects are still being undone. `wait_until` is set in a
    declared wait only, `waited_s` sums the past ones. `owner` has the task until `lease_until`; `fence` counts
    how often it was claimed. `next_run_at` is when a task that nobody is at goes on by itself: after a pause between
    two attempts, or at the end of a wait. `workflow` is name and version: a task stays on those it started with.
    `depth` counts how many tasks above this one have handed work down to it. `asked` is what a person is asked for
    while the task waits for an approval or an answer: `{"kind", "id", "tool", "arguments", ...}`. `cancel_requested`
    is read and never written with the row: whoever asks does so beside the worker that has the task.
    """

    request_id: str
    text: str
    workflow: str
    fsm_state: State
    current_step: str
    created_at: float
    attempt: int = 1
    business_state: Mapping[str, Any] = field(default_factory=dict)
    last_error: str | None = None
    budget_used: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    cause: str | None = None
    answer: str = ""
    ending: Mapping[str, Any] | None = None
    wait_until: float | None = None
    waited_s: float = 0.0
    next_run_at: float | None = None
    asked: Mapping[str, Any] | None = None
    mode: Mode = "live"
    depth: int = 0
    cancel_requested: bool = field(default=False, compare=False)
    owner: str | None = None
    lease_until: float = 0.0
    fence: int = 0
    version: int = 0


@dataclass(frozen=True)
class Step(_Record):
    """One attempt of one step. Written `pending` before it acts, finished once, never deleted.

    `kind` is `model`, `tool`, `refusal` (a proposal that was answered with a reason and never ran), `event`
    (something that a wait was for), or `undo` (a tool call that compensates the effect of step `undoes`). An attempt
    ends as `in_doubt` where its effect may have happened and its reply did not come.

    `not_before` is the time before which a pending attempt may not begin. `stands_in_for` names the step whose
    answer this one gives instead. `model` and `prompt` (name, version and hash) say who was asked and how.
    """

    request_id: str
    step_id: int
    attempt: int
    kind: Literal["model", "tool", "refusal", "event", "undo"]
    input_hash: str
    created_at: float
    status: Literal["pending", "success", "failed", "in_doubt"] = "pending"
    tool: str | None = None
    call_id: str = ""
    effect_class: str = "pure"
    input_data: Any = None
    output_data: Any = None
    error_code: str | None = None
    finished_at: float | None = None
    undoes: int | None = None
    stands_in_for: int | None = None
    not_before: float | None = None
    tool_version: int | None = None
    error_class: str | None = None
    model: str | None = None
    prompt: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key: the same for every attempt, whatever the wording was."""
        return f"{self.request_id}:{self.step_id}"


@dataclass(frozen=True)
class Inbound:
    """Something that arrived from outside; stored once per `(source, event_id)`.

    `reason` is None once it was applied, `early` while it is held for a wait to come, else why it is ignored.
    """

    source: str
    event_id: str
    kind: str
    payload: Any = None
    reason: str | None = None


@dataclass(frozen=True)
class Control:
    """One value that all workers share: a flag, the kill switch, the state of a breaker. Plain JSON."""

    key: str
    value: Any
    version: int = 0


@dataclass(frozen=True)
class Incident:
    """A serious failure, as operators see it. `data` is masked already; `key` is the same for incidents of one kind."""

    request_id: str
    key: str
    code: str
    error_class: str
    workflow: str
    at: float
    prompt: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Commit(_Record):
    """One transaction: the task under a check of version and fence, its steps, the inbound event, the audit.

    One that `claims` raises the fence by one. One that does not move (`moves=False`) leaves the task as it is
    and stores an event or a note about it. `controls` are written whatever their version was.
    """

    label: str
    task: Task
    at: float
    finished: tuple[Step, ...] = ()
    inserted: tuple[Step, ...] = ()
    event: Inbound | None = None
    audit: tuple[Mapping[str, Any], ...] = ()
    incidents: tuple[Incident, ...] = ()
    controls: tuple[Control, ...] = ()
    claims: bool = False
    moves: bool = True

    def __post_init__(self) -> None:
        name = self.task.request_id
        for step in (*self.finished, *self.inserted):
            if step.request_id != name:  # its fence would not be the one that is checked
                raise DefinitionError(f"a commit of task {name!r} cannot write a step of task {step.request_id!r}")


class Receipt(NamedTuple):
    """What a commit tells: the task's new version, and what others have asked for meanwhile.

    `controls` is the number of the last change of any control; `cancel` says that the task is to be cancelled.
    """

    version: int
    controls: int = 0
    cancel: bool = False


@dataclass(frozen=True)
class TaskResult:
    """What a task claims. `cause` is a stable code; the three lists name steps as `{"tool", "key", ...}`.

    A task that is not at its end claims `partial`, with the cause of its wait (or `running` where another worker
    is at it) and what is done so far; `unknown` is kept for effects in doubt.
    """

    request_id: str
    outcome: Outcome
    cause: str | None
    answer: str
    state: State
    done: list[dict[str, Any]]
    not_done: list[dict[str, Any]]
    unknown: list[dict[str, Any]]
