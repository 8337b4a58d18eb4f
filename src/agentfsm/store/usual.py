"""The usual commit as one row: a task that starts or moves, an attempt that ends, one that begins, an audit row.

Both stores write many such rows in one statement, where tasks run beside one another. Where any of them is refused
nothing is written; the commits are then written one by one, and whoever is at fault is told why.
"""

from __future__ import annotations

from typing import Any

from agentfsm.records import Commit, Step
from agentfsm.store import rows
from agentfsm.store.packing import pack
from agentfsm.store.rows import STEP, STEP_ENDS, TASK_KEPT, TASK_MOVES
from agentfsm.store.schema import Schema

MOST_AT_ONCE = 25
"""Commits in one transaction: while it is being flushed, the tasks of the one before go on."""

SYSTEM = ("schema_version", "readable_by", "version", "updated_at")
TASK = (*TASK_MOVES, *SYSTEM, *TASK_KEPT)
"""Of the task; those that a move leaves as they are, but its name, are NULL in its row."""
ENDS = (*STEP_ENDS, "step_id", "attempt")

COLUMNS = (
    *(f"task_{name}" for name in TASK),
    "held",
    *(f"end_{name}" for name in ENDS),
    *(f"new_{name}" for name in STEP),
    "entries",
)
"""`held` is the fence that the task must have; the columns of an attempt are NULL where there is none."""

_NO_END, _NO_STEP, _AS_IT_WAS = ((None,) * size for size in (len(ENDS), len(STEP), len(TASK_KEPT) - 1))


def fits(change: Commit) -> bool:
    """Return whether a commit has the usual shape. The attempts that end and begin are of different steps."""
    return (
        change.moves
        and len(change.finished) <= 1
        and len(change.inserted) <= 1
        and change.event is None
        and not change.incidents
        and not change.controls
        and not (change.finished and change.inserted and change.finished[0].step_id == change.inserted[0].step_id)
    )


def row(change: Commit, schema: Schema) -> list[Any]:
    """Return the values of COLUMNS; raise StoreError for what cannot be stored."""
    task = change.task
    values = rows.moving(rows.as_written(task, schema))
    values += (schema.version, schema.readable_by, task.version + 1, change.at)
    values += (task.request_id, *_AS_IT_WAS) if task.version else rows.kept(task)
    values.append(task.fence - change.claims)
    values += _end(change.finished[0]) if change.finished else _NO_END
    values += rows.attempt(change.inserted[0]) if change.inserted else _NO_STEP
    values.append(pack(change.audit) if change.audit else None)
    return values


def _end(step: Step) -> list[Any]:
    return [*rows.ending(step), step.step_id, step.attempt]
