"""The transaction of one commit in SQLite, statement by statement. The texts are made once."""

from __future__ import annotations

import sqlite3

from agentfsm.contracts import compact
from agentfsm.errors import Conflict, InputChanged
from agentfsm.records import Commit, Inbound, Receipt, Step, Task
from agentfsm.store import rows
from agentfsm.store.rows import STEP_ENDS, STEP_STAYS, TASK_MOVES, TASK_STAYS
from agentfsm.store.schema import Schema


def _marks(names: tuple[str, ...]) -> str:
    return ", ".join("?" * len(names))


_SYSTEM = ("schema_version", "readable_by", "version", "updated_at")
_NEW = (*TASK_STAYS, *TASK_MOVES, *_SYSTEM)
_INSERT_TASK = f"INSERT INTO task ({', '.join(_NEW)}) VALUES ({_marks(_NEW)}) ON CONFLICT DO NOTHING"  # noqa: S608
_MOVE_TASK = (
    f"UPDATE task SET {', '.join(f'{name} = ?' for name in (*TASK_MOVES, *_SYSTEM))} "  # noqa: S608
    "WHERE request_id = ? AND version = ? AND fence = ? RETURNING cancel_requested"
)
_FINISH = (
    f"UPDATE agent_steps SET {', '.join(f'{name} = ?' for name in STEP_ENDS)} "  # noqa: S608
    "WHERE request_id = ? AND step_id = ? AND attempt = ? AND status = 'pending'"
)
_STEP = (*STEP_STAYS, *STEP_ENDS)
_INSERT_STEP = (
    f"INSERT INTO agent_steps ({', '.join(_STEP)}) SELECT {_marks(_STEP)} WHERE NOT EXISTS ("  # noqa: S608
    "SELECT 1 FROM agent_steps WHERE request_id = ? AND step_id = ? "
    "AND (input_hash <> ? OR status IN ('pending', 'success'))) ON CONFLICT DO NOTHING"
)
_AUDIT = "INSERT INTO audit (request_id, version, seq, at, data) VALUES (?, ?, ?, ?, ?)"
_NEXT_SEQ = "SELECT coalesce(max(seq) + 1, 0) FROM audit WHERE request_id = ? AND version = ?"
_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_HELD_EVENT = (
    "UPDATE event SET applied_version = ?5, reason = ?1 WHERE source = ?2 AND event_id = ?3 AND request_id = ?4 "
    "AND reason IN ('early', 'unknown_task') AND reason IS NOT ?1"
)
_INCIDENT = (
    "INSERT INTO incident (request_id, key, code, error_class, workflow, prompt, at, data) VALUES (?,?,?,?,?,?,?,?)"
)
_LAST_CHANGE = "SELECT coalesce(max(change), 0) FROM control"
_CONTROL = (
    "INSERT INTO control (key, value, version, change) VALUES (?1, ?2, 1, (SELECT coalesce(max(change), 0) + 1 FROM "
    "control)) ON CONFLICT DO UPDATE SET value = ?2, version = version + 1, "
    "change = (SELECT max(change) + 1 FROM control) RETURNING version"
)


def last_change(db: sqlite3.Connection) -> int:
    """Return the number of the last change of any control."""
    return int(db.execute(_LAST_CHANGE).fetchone()[0])


def write(db: sqlite3.Connection, change: Commit, schema: Schema) -> Receipt:
    """Write a whole commit inside the transaction that is open."""
    cancel = False
    version = change.task.version
    if change.moves:
        cancel = _write_task(db, change, schema)
        version += 1
    for step in change.finished:
        key = (step.request_id, step.step_id, step.attempt)
        if db.execute(_FINISH, (*rows.ending(step), *key)).rowcount != 1:
            raise Conflict(f"{step.key} attempt {step.attempt} is not pending; nothing was written", key=step.key)
    for step in change.inserted:
        _insert(db, step)
    if change.event is not None:
        _write_event(db, change, change.event, version)
    if change.audit:
        name = change.task.request_id
        seq = 0 if change.moves else db.execute(_NEXT_SEQ, (name, version)).fetchone()[0]
        db.execute(_AUDIT, (name, version, seq, change.at, compact(change.audit)))
    for one in change.incidents:
        given = (one.request_id, one.key, one.code, one.error_class, one.workflow, one.prompt, one.at)
        db.execute(_INCIDENT, (*given, rows.pack(one.data)))
    for control in change.controls:
        db.execute(_CONTROL, (control.key, compact(control.value)))
    return Receipt(version, last_change(db), cancel)


def set_control(db: sqlite3.Connection, key: str, value: object, at: float, expected: int | None) -> int:
    """Write one control and its audit row; raise Conflict where its version is not the expected one."""
    found = db.execute("SELECT version FROM control WHERE key = ?", (key,)).fetchone()
    known = 0 if found is None else found[0]
    if expected is not None and known != expected:
        raise Conflict(f"control {key!r} is at version {known}, not {expected}; nothing was written", key=key)
    version = int(db.execute(_CONTROL, (key, rows.pack(value))).fetchone()[0])
    entry = [{"kind": "control", "key": key, "value": value}]
    change = last_change(db)
    db.execute(_AUDIT, ("", change, 0, at, compact(entry)))
    return version


def _write_task(db: sqlite3.Connection, change: Commit, schema: Schema) -> bool:
    task = change.task if schema.written is None else rows.as_written(change.task, schema.written)
    system = (schema.version, schema.readable_by, task.version + 1, change.at)
    if task.version == 0:
        if db.execute(_INSERT_TASK, (*rows.staying(task), *rows.moving(task), *system)).rowcount == 1:
            return False
        raise _conflict(db, change)
    where = (task.request_id, task.version, task.fence - change.claims)
    moved = db.execute(_MOVE_TASK, (*rows.moving(task), *system, *where)).fetchone()
    if moved is None:
        raise _conflict(db, change)
    return bool(moved[0])


def _conflict(db: sqlite3.Connection, change: Commit) -> Conflict:
    task, held = change.task, change.task.fence - change.claims
    row = db.execute("SELECT fence FROM task WHERE request_id = ?", (task.request_id,)).fetchone()
    return conflict(task, held, None if row is None else row[0])


def conflict(task: Task, held: int, fence: int | None) -> Conflict:
    """Return what to raise where the task could not be moved; `fence` is the stored one."""
    if fence is not None and fence != held and task.version:
        said = f"task {task.request_id!r} was taken over: its fence is {fence}, this one is {held}"
        return Conflict(f"{said}; nothing was written", code="fenced", request_id=task.request_id, fence=held)
    said = f"task {task.request_id!r} is no longer at version {task.version}"
    return Conflict(f"{said}; nothing was written", request_id=task.request_id, version=task.version)


def _insert(db: sqlite3.Connection, step: Step) -> None:
    guard = (step.request_id, step.step_id, step.input_hash)
    if db.execute(_INSERT_STEP, (*rows.intent(step), *rows.ending(step), *guard)).rowcount != 1:
        raise InputChanged(f"{step.key} is taken: open, done, or with other input", key=step.key)


def _write_event(db: sqlite3.Connection, change: Commit, event: Inbound, version: int) -> None:
    applied = 0 if event.reason else version
    name = change.task.request_id
    given = (event.source, event.event_id, name, event.kind, rows.pack(event.payload), change.at, applied, event.reason)
    if db.execute(_EVENT, given).rowcount == 1:
        return
    # One that was held meets its wait, or came before its task.
    if db.execute(_HELD_EVENT, (event.reason, event.source, event.event_id, name, applied)).rowcount != 1:
        raise Conflict(f"event {event.source}/{event.event_id} was stored before; nothing was written")
