"""The transaction of one commit in SQLite, statement by statement. The texts are made once."""

from __future__ import annotations

import sqlite3
from typing import Any

from agentfsm.contracts import compact
from agentfsm.records import Commit, Control, Inbound, Receipt, Step
from agentfsm.store import refusals, rows
from agentfsm.store.packing import pack, pack_control, plain
from agentfsm.store.rows import INCIDENT, STEP, STEP_ENDS, TASK_MOVES, TASK_NEW
from agentfsm.store.schema import Schema
from agentfsm.store.usual import SYSTEM


def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def _set(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} = ?" for name in names)


_LAST_CHANGE = "(SELECT value FROM meta WHERE key = 'controls')"
_START = f"{_insert('task', (*TASK_NEW, *SYSTEM))} ON CONFLICT DO NOTHING"
_MOVE = f"UPDATE task SET {_set((*TASK_MOVES, *SYSTEM))} WHERE request_id = ? AND version = ? AND fence = ?"
_ASKED = f"SELECT cancel_requested, {_LAST_CHANGE} FROM task WHERE request_id = ?"  # costs half of a RETURNING
_FENCE = "SELECT fence FROM task WHERE request_id = ?"
_FINISH = (
    f"UPDATE agent_steps SET {_set(STEP_ENDS)} "
    "WHERE request_id = ? AND step_id = ? AND attempt = ? AND status = 'pending'"
)
_TAKEN = (
    "SELECT 1 FROM agent_steps WHERE request_id = ? AND step_id = ? "
    "AND (input_hash <> ? OR status IN ('pending', 'success')) LIMIT 1"
)
_ATTEMPT = f"{_insert('agent_steps', STEP)} ON CONFLICT DO NOTHING"
_EVENT = _insert(
    "event", ("source", "event_id", "request_id", "kind", "payload", "received_at", "applied_version", "reason")
)
_NEW_EVENT = f"{_EVENT} ON CONFLICT DO NOTHING"
_HELD_EVENT = (
    "UPDATE event SET applied_version = ?5, reason = ?1 WHERE source = ?2 AND event_id = ?3 AND request_id = ?4 "
    "AND reason IN ('early', 'unknown_task') AND reason IS NOT ?1"
)
_AUDIT = _insert("audit", ("request_id", "version", "seq", "at", "data"))
_NEXT_SEQ = "SELECT coalesce(max(seq) + 1, 0) FROM audit WHERE request_id = ? AND version = ?"
_INCIDENT = _insert("incident", INCIDENT)
_CONTROL_VERSION = "SELECT version FROM control WHERE key = ?"
_CONTROL = (
    "INSERT INTO control VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET value = ?2, version = version + 1 "
    "RETURNING version"
)
_CHANGED = "UPDATE meta SET value = value + 1 WHERE key = 'controls' RETURNING value"
_NOTED = f"SELECT 0, {_LAST_CHANGE}"


def write(db: sqlite3.Connection, change: Commit, schema: Schema) -> Receipt:
    """Write a whole commit inside the transaction that is open. What it raises asks for a rollback."""
    if change.moves:
        cancel, controls = _write_task(db, change, schema)
        version = change.task.version + 1
    else:
        cancel, controls = _one(db, _NOTED)
        version = change.task.version
    for step in change.finished:
        _finish(db, step)
    for step in change.inserted:
        _begin(db, step)
    if change.event is not None:
        _write_event(db, change, change.event, version)
    if change.audit:
        name = change.task.request_id
        seq = 0 if change.moves else _one(db, _NEXT_SEQ, name, version)[0]
        db.execute(_AUDIT, (name, version, seq, change.at, pack(change.audit)))
    for incident in change.incidents:
        db.execute(_INCIDENT, rows.incident_row(incident))
    for control in change.controls:
        controls, _ = _change(db, control)
    return Receipt(version, controls, bool(cancel))


def set_control(db: sqlite3.Connection, control: Control, at: float, expected: int | None) -> int:
    """Write one control and its audit row; raise Conflict where its version is not the expected one."""
    found = db.execute(_CONTROL_VERSION, (control.key,)).fetchone()
    known = 0 if found is None else found[0]
    if expected is not None and known != expected:
        raise refusals.control_moved_on(control.key, known, expected)
    change, version = _change(db, control)
    db.execute(_AUDIT, ("", change, 0, at, control_entry(control)))
    return version


def control_entry(control: Control) -> str:
    """Return the audit row of a control that somebody has set."""
    return compact([{"kind": "control", "key": control.key, "value": control.value}])


def _change(db: sqlite3.Connection, control: Control) -> tuple[int, int]:
    """Write a control; return the number of the change and its version."""
    plain(control.key)
    version = _one(db, _CONTROL, control.key, pack_control(control.value))[0]
    return _one(db, _CHANGED)[0], version


def _one(db: sqlite3.Connection, query: str, *given: object) -> Any:
    # All rows are fetched: a statement with RETURNING that is not run to its end keeps its transaction busy.
    return db.execute(query, given).fetchall()[0]


def _write_task(db: sqlite3.Connection, change: Commit, schema: Schema) -> tuple[int, int]:
    task = change.task
    kept, held = rows.as_written(task, schema), task.fence - change.claims
    system = (schema.version, schema.readable_by, task.version + 1, change.at)
    if task.version == 0:
        done = db.execute(_START, (*rows.new(kept), *system))
    else:
        done = db.execute(_MOVE, (*rows.moving(kept), *system, task.request_id, task.version, held))
    if done.rowcount != 1:
        row = db.execute(_FENCE, (task.request_id,)).fetchone()
        raise refusals.moved_on(task, held, None if row is None else row[0])
    cancel, controls = _one(db, _ASKED, task.request_id)
    return cancel, controls


def _finish(db: sqlite3.Connection, step: Step) -> None:
    if db.execute(_FINISH, (*rows.ending(step), step.request_id, step.step_id, step.attempt)).rowcount != 1:
        raise refusals.not_pending(step)


def _begin(db: sqlite3.Connection, step: Step) -> None:
    guard = (step.request_id, step.step_id, step.input_hash)
    if db.execute(_TAKEN, guard).fetchone() or db.execute(_ATTEMPT, rows.attempt(step)).rowcount != 1:
        raise refusals.taken(step)


def _write_event(db: sqlite3.Connection, change: Commit, event: Inbound, version: int) -> None:
    applied = 0 if event.reason else version
    name = change.task.request_id
    plain(event.source, event.event_id, event.kind, name)
    given = (event.source, event.event_id, name, event.kind, pack(event.payload), change.at, applied, event.reason)
    if db.execute(_NEW_EVENT, given).rowcount == 1:
        return
    # One that was held meets its wait, or came before its task.
    if db.execute(_HELD_EVENT, (event.reason, event.source, event.event_id, name, applied)).rowcount != 1:
        raise refusals.stored_before(event)
