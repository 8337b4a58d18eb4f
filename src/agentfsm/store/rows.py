"""Records to rows and back: a column is named after its field. Plain JSON only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol

from agentfsm.contracts import compact
from agentfsm.errors import StoreError
from agentfsm.records import Inbound, Incident, Step, Task
from agentfsm.states import State
from agentfsm.store.schema import Schema, Upgrade


class Fields(Protocol):
    """A row of either driver."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""

    def keys(self) -> Iterable[str]:
        """Return the names of the columns."""


MOST_BYTES = 1_000_000
"""Of one JSON value; an answer or a payload that is larger is refused, not stored."""

TASK_MOVES = (
    "fsm_state", "current_step", "attempt", "business_state", "last_error", "budget_used", "outcome", "cause",
    "answer", "ending", "wait_until", "waited_s", "next_run_at", "asked", "owner", "lease_until", "fence",
)  # fmt: skip
TASK_STAYS = ("request_id", "workflow", "text", "mode", "depth", "created_at")
STEP_STAYS = (
    "request_id", "step_id", "attempt", "input_hash", "created_at", "kind", "tool", "call_id", "effect_class",
    "input_data", "undoes", "stands_in_for", "not_before", "tool_version", "model", "prompt",
)  # fmt: skip
STEP_ENDS = ("status", "output_data", "error_code", "error_class", "finished_at")
_JSON = frozenset({"business_state", "budget_used", "input_data", "output_data", "ending", "asked"})


def pack(value: Any) -> str | None:
    """Return a value as JSON text, None as NULL. Raise StoreError where it is too large."""
    if value is None:
        return None
    text = compact(value)
    if len(text) > MOST_BYTES:
        raise StoreError(f"a value of {len(text)} characters; at most {MOST_BYTES} are stored", code="too_large")
    return text


def unpack(text: str | None) -> Any:
    """Return the value of a JSON text; raise StoreError where it is none."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a stored value is no JSON: {error}", code="corrupt_row") from error


def moving(task: Task) -> list[Any]:
    """Return the values of TASK_MOVES."""
    return [
        task.fsm_state.value, task.current_step, task.attempt, pack(task.business_state), task.last_error,
        pack(task.budget_used), task.outcome, task.cause, task.answer, pack(task.ending), task.wait_until,
        task.waited_s, task.next_run_at, pack(task.asked), task.owner, task.lease_until, task.fence,
    ]  # fmt: skip


def staying(task: Task) -> list[Any]:
    """Return the values of TASK_STAYS."""
    return [task.request_id, task.workflow, task.text, task.mode, task.depth, task.created_at]


def intent(step: Step) -> list[Any]:
    """Return the values of STEP_STAYS."""
    return [
        step.request_id, step.step_id, step.attempt, step.input_hash, step.created_at, step.kind, step.tool,
        step.call_id, step.effect_class, pack(step.input_data), step.undoes, step.stands_in_for, step.not_before,
        step.tool_version, step.model, step.prompt,
    ]  # fmt: skip


def ending(step: Step) -> list[Any]:
    """Return the values of STEP_ENDS."""
    return [step.status, pack(step.output_data), step.error_code, step.error_class, step.finished_at]


def task(row: Fields, schema: Schema) -> Task:
    """Return the task; refuse a row that this version cannot read, and leave it as it is."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row of a driver is no mapping
    wrote, reads = values["schema_version"], values["readable_by"]
    if wrote > schema.version and (reads > schema.version or wrote > schema.version + 1):
        said = f"task {values['request_id']!r} has schema {wrote}, readable by {reads}, known is {schema.version}"
        raise StoreError(f"{said}; nothing was changed. Let a newer worker have it", code="newer_schema")
    try:
        for name in _JSON & values.keys():
            values[name] = unpack(values[name])
        for number in range(wrote, schema.version):
            values = schema.upgrades.get(number, dict)(values)
        fields = {name: values[name] for name in (*TASK_STAYS, *TASK_MOVES, "version")}
        state, cancel = State(values["fsm_state"]), bool(values["cancel_requested"])
        return Task(**{**fields, "fsm_state": state, "cancel_requested": cancel})
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"task {values['request_id']!r} cannot be read: {error}", code="corrupt_row") from error


def step(row: Fields) -> Step:
    """Return the step."""
    values = {name: row[name] for name in (*STEP_STAYS, *STEP_ENDS)}
    values["input_data"], values["output_data"] = unpack(values["input_data"]), unpack(values["output_data"])
    return Step(**values)


def event(row: Fields) -> Inbound:
    """Return the event."""
    return Inbound(row["source"], row["event_id"], row["kind"], unpack(row["payload"]), row["reason"])


def incident(row: Fields) -> Incident:
    """Return the incident."""
    names = ("request_id", "key", "code", "error_class", "workflow", "at", "prompt")
    return Incident(**{name: row[name] for name in names}, data=unpack(row["data"]))


def audit(found: Fields) -> list[dict[str, Any]]:
    """Return the entries of one audit row, each with `version` and `at`."""
    return [{**entry, "version": found["version"], "at": found["at"]} for entry in unpack(found["data"])]


def as_written(task: Task, written: Upgrade) -> Task:
    """Return the task in the form that older workers can read too."""
    changed = written({name: getattr(task, name) for name in (*TASK_STAYS, *TASK_MOVES)})
    return task.but(**changed)
