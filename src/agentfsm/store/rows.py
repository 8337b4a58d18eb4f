"""Records to rows and back: a column is named after its field, in the order of the fields. Plain JSON only."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from agentfsm.errors import StoreError
from agentfsm.records import Control, Inbound, Incident, Step, Task
from agentfsm.states import State
from agentfsm.store.packing import pack, plain, unpack
from agentfsm.store.schema import Row, Schema

_log = logging.getLogger("agentfsm.store")

TASK = tuple(field.name for field in fields(Task))
TASK_SYSTEM = ("schema_version", "readable_by")
STEP = tuple(field.name for field in fields(Step))
STEP_ENDS = ("status", "output_data", "error_code", "error_class", "finished_at")
INCIDENT = tuple(field.name for field in fields(Incident))
EVENT = ("source", "event_id", "kind", "payload", "reason")

TASK_KEPT = ("request_id", "workflow", "text", "created_at", "mode", "depth")
_SYSTEM = ("cancel_requested", "version")
TASK_NEW = tuple(name for name in TASK if name not in _SYSTEM)
TASK_MOVES = tuple(name for name in TASK_NEW if name not in TASK_KEPT)

_JSON = frozenset({"business_state", "budget_used", "input_data", "output_data", "ending", "asked"})
_TASK_JSON = tuple(place for place, name in enumerate(TASK) if name in _JSON)
_STEP_JSON = tuple(place for place, name in enumerate(STEP) if name in _JSON)
_STATE, _CANCEL = TASK.index("fsm_state"), TASK.index("cancel_requested")

_new_of, _kept_of, _moves_of, _step_of, _ends_of, _incident_of = (
    attrgetter(*names) for names in (TASK_NEW, TASK_KEPT, TASK_MOVES, STEP, STEP_ENDS, INCIDENT)
)
_ONES_OWN = attrgetter("request_id", "workflow", "text")
_TOLD = attrgetter("answer", "current_step", "cause", "last_error", "owner")
_NAMED = attrgetter("request_id", "call_id", "tool", "error_code", "model", "prompt")


def _packs(names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(place for place, name in enumerate(names) if name in _JSON)


_NEW_PACKS, _MOVES_PACKS, _STEP_PACKS, _ENDS_PACKS = (
    _packs(names) for names in (TASK_NEW, TASK_MOVES, STEP, STEP_ENDS)
)


def new(task: Task) -> list[Any]:
    """Return the values of TASK_NEW."""
    plain(*_ONES_OWN(task), *_TOLD(task))
    return _packed(_new_of(task), _NEW_PACKS)


def kept(task: Task) -> tuple[Any, ...]:
    """Return the values of TASK_KEPT."""
    plain(*_ONES_OWN(task))
    return _kept_of(task)


def moving(task: Task) -> list[Any]:
    """Return the values of TASK_MOVES."""
    plain(*_TOLD(task))
    return _packed(_moves_of(task), _MOVES_PACKS)


def attempt(step: Step) -> list[Any]:
    """Return the values of STEP."""
    plain(*_NAMED(step))
    return _packed(_step_of(step), _STEP_PACKS)


def ending(step: Step) -> list[Any]:
    """Return the values of STEP_ENDS."""
    plain(step.error_code, step.error_class)
    return _packed(_ends_of(step), _ENDS_PACKS)


def incident_row(incident: Incident) -> list[Any]:
    """Return the values of INCIDENT."""
    *values, data = _incident_of(incident)
    plain(*(value for value in values if isinstance(value, str)))
    return [*values, pack(data)]


def task(row: Sequence[Any], schema: Schema) -> Task:
    """Return the task of a row of TASK and TASK_SYSTEM; refuse one that this version cannot read, and leave it."""
    *values, wrote, reads = row
    if reads > schema.version:
        said = f"task {values[0]!r} has schema {wrote}, readable by {reads} and later; known is {schema.version}"
        raise StoreError(f"{said}; nothing was changed. Let a newer worker have it", code="newer_schema")
    try:
        for place in _TASK_JSON:
            values[place] = None if values[place] is None else json.loads(values[place])
        if wrote < schema.version and schema.upgrades:
            values = _upgraded(values, wrote, schema)
        values[_STATE], values[_CANCEL] = State(values[_STATE]), bool(values[_CANCEL])
        return Task(*values)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = f"task {values[0]!r} cannot be read, its row is damaged: {error}"
        raise StoreError(said, code="corrupt_row", request_id=values[0]) from error


def step(row: Sequence[Any]) -> Step:
    """Return the step of a row of STEP."""
    values = list(row)
    for place in _STEP_JSON:
        values[place] = unpack(values[place])
    return Step(*values)


def event(row: Sequence[Any]) -> Inbound:
    """Return the event of a row of EVENT."""
    source, event_id, kind, payload, reason = row
    return Inbound(source, event_id, kind, unpack(payload), reason)


def incident(row: Sequence[Any]) -> Incident:
    """Return the incident of a row of INCIDENT."""
    *values, data = row
    return Incident(*[*values, unpack(data)])


def audit(row: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the entries of a row of version, time and entries, each with `version` and `at`."""
    version, at, data = row
    return [{**entry, "version": version, "at": at} for entry in unpack(data)]


def controls(found: Iterable[Sequence[Any]]) -> dict[str, Control]:
    """Return the controls of rows of key, value and version, by key."""
    return {key: Control(key, unpack(value), version) for key, value, version in found}


def outcomes(found: Iterable[Sequence[Any]]) -> dict[str, dict[str, int]]:
    """Return the counts of rows of workflow, outcome and count."""
    counts: dict[str, dict[str, int]] = {}
    for workflow, outcome, count in found:
        counts.setdefault(workflow, {})[outcome] = count
    return counts


def readable(found: Iterable[Sequence[Any]], schema: Schema) -> list[Task]:
    """Return the tasks of claimed rows. One that is damaged is left to its lease, and told to the process's log."""
    tasks = []
    for row in found:
        try:
            tasks.append(task(row, schema))
        except StoreError as error:
            _log.error("a claimed task is left alone: %s", error)
    return tasks


def as_written(task: Task, schema: Schema) -> Task:
    """Return the task in the form that is stored, which older workers may be able to read too."""
    if schema.written is None:
        return task
    return task.but(**schema.written({name: getattr(task, name) for name in TASK_MOVES}))


def _packed(values: Sequence[Any], places: tuple[int, ...]) -> list[Any]:
    row = list(values)
    for place in places:
        row[place] = pack(row[place])
    return row


def _upgraded(values: list[Any], wrote: int, schema: Schema) -> list[Any]:
    row: Row = dict(zip(TASK, values, strict=True))
    for number in range(wrote, schema.version):
        row = schema.upgrades.get(number, dict)(row)
    return [row[name] for name in TASK]
