"""One commit as one statement of PostgreSQL: one round trip, one transaction, no lock that outlives it.

Every part reads FROM `moved`, the change of the task under its version and fence: where that found no row, there is
none for anything else, and the statement gives back nothing. Where another part found nothing to do, it is refused by
the database as a whole. The parts see the rows as they were before, so what one does to another is told beforehand.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from agentfsm.records import Commit, Step
from agentfsm.store import refusals, rows
from agentfsm.store.packing import pack, pack_control, plain
from agentfsm.store.postgres_text import Shape, text
from agentfsm.store.schema import Schema


def statement(change: Commit, schema: Schema) -> tuple[str, list[Any]]:
    """Return the text and the values of a commit."""
    task, at = change.task, change.at
    version = task.version + change.moves
    kind = "note" if not change.moves else "move" if task.version else "start"
    values: list[Any] = []
    if change.moves:
        kept = rows.as_written(task, schema)
        values += rows.moving(kept) if task.version else rows.new(kept)
        values += (schema.version, schema.readable_by, version, at)
    if kind == "move":
        values += (task.request_id, task.version, task.fence - change.claims)
    for step in change.finished:
        values += (*rows.ending(step), step.request_id, step.step_id, step.attempt)
    for place, step in enumerate(change.inserted):
        values += (*rows.attempt(step), *_beside(change, step, place))
    if (event := change.event) is not None:
        plain(event.source, event.event_id, event.kind, task.request_id)
        values += (event.source, event.event_id, task.request_id, event.kind, pack(event.payload), at)
        values += (0 if event.reason else version, event.reason)
    if change.audit:
        plain(task.request_id)
        values += (task.request_id, version, at, pack(change.audit))
    for incident in change.incidents:
        values += rows.incident_row(incident)
    times = Counter(control.key for control in change.controls)
    for control in {control.key: control for control in change.controls}.values():
        plain(control.key)
        values += (control.key, pack_control(control.value), times[control.key])
    counts = (len(change.finished), len(change.inserted), event is not None, bool(change.audit))
    return text(Shape(kind, *counts, len(change.incidents), len(times))), values


def refusal(change: Commit, said: str) -> Exception:
    """Return what to raise for the message of a REFUSED error."""
    part = said.rstrip("0123456789")
    number = int(said.removeprefix(part))
    if part == "finished":
        return refusals.not_pending(change.finished[number])
    if part == "inserted":
        return refusals.taken(change.inserted[number])
    events = [change.event] if change.event else []
    return refusals.stored_before(events[number])


def _beside(change: Commit, step: Step, place: int) -> tuple[bool, list[int]]:
    """Return whether this commit itself leaves the step's key free, and which attempts of it this commit finishes."""
    same = [s for s in (*change.finished, *change.inserted[:place]) if s.step_id == step.step_id]
    free = all(s.status in {"failed", "in_doubt"} and s.input_hash == step.input_hash for s in same)
    return free, [s.attempt for s in change.finished if s.step_id == step.step_id]
