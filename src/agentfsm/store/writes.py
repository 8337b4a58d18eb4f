"""The transaction of one commit, statement by statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from agentfsm.contracts import canonical
from agentfsm.errors import Conflict, InputChanged
from agentfsm.records import Commit, Step
from agentfsm.store import rows
from agentfsm.store.schema import SCHEMA_VERSION


def write(db: sqlite3.Connection, change: Commit) -> int:
    """Write a whole commit in one transaction, or nothing; return the version of the task."""
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _write_task(db, change) if change.moves else change.task.version
        for step in change.finished:
            _finish(db, step)
        for step in change.inserted:
            _insert(db, step)
        _write_event(db, change, version)
        db.executemany(
            "INSERT INTO audit (request_id, version, at, data) VALUES (?, ?, ?, ?)",
            [(change.task.request_id, version, change.at, canonical(dict(row))) for row in change.audit],
        )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return version


def _write_task(db: sqlite3.Connection, change: Commit) -> int:
    task = change.task
    version = task.version + 1
    row = {**rows.of(task), "version": version, "schema_version": SCHEMA_VERSION, "updated_at": change.at}
    if task.version == 0:
        done = db.execute(_insert_into("task", row), row)
    else:
        sets = ", ".join(f"{name} = :{name}" for name in row)
        where = "request_id = :request_id AND version = :read_at AND fence = :held"
        query = f"UPDATE task SET {sets} WHERE {where}"  # noqa: S608
        done = db.execute(query, {**row, "read_at": task.version, "held": task.fence - change.claims})
    if done.rowcount != 1:
        raise _conflict(db, change)
    return version


def _conflict(db: sqlite3.Connection, change: Commit) -> Conflict:
    task, held = change.task, change.task.fence - change.claims
    row = db.execute("SELECT fence FROM task WHERE request_id = ?", (task.request_id,)).fetchone()
    if row is not None and row["fence"] != held and task.version:
        said = f"task {task.request_id!r} was taken over: its fence is {row['fence']}, this one is {held}"
        return Conflict(f"{said}; nothing was written", code="fenced", request_id=task.request_id, fence=held)
    said = f"task {task.request_id!r} is no longer at version {task.version}"
    return Conflict(f"{said}; nothing was written", request_id=task.request_id, version=task.version)


def _finish(db: sqlite3.Connection, step: Step) -> None:
    done = db.execute(
        "UPDATE agent_steps SET status = :status, output_data = :output_data, error_code = :error_code, "
        "error_class = :error_class, finished_at = :finished_at WHERE request_id = :request_id AND step_id = :step_id "
        "AND attempt = :attempt AND status = 'pending'",
        rows.of(step),
    )
    if done.rowcount != 1:
        raise Conflict(f"{step.key} attempt {step.attempt} is not pending; nothing was written", key=step.key)


def _insert(db: sqlite3.Connection, step: Step) -> None:
    row = {**rows.of(step), "idempotency_key": step.key}
    taken = db.execute(
        "SELECT 1 FROM agent_steps WHERE request_id = :request_id AND step_id = :step_id "
        "AND (input_hash <> :input_hash OR status NOT IN ('failed', 'in_doubt')) LIMIT 1",
        row,
    )
    if taken.fetchone() is not None or db.execute(_insert_into("agent_steps", row), row).rowcount != 1:
        raise InputChanged(f"{step.key} is taken: open, done, or with other input", key=step.key)


def _write_event(db: sqlite3.Connection, change: Commit, version: int) -> None:
    event = change.event
    if event is None:
        return
    row = {
        "source": event.source,
        "event_id": event.event_id,
        "request_id": change.task.request_id,
        "kind": event.kind,
        "payload": rows.pack(event.payload),
        "received_at": change.at,
        "applied_version": 0 if event.reason else version,
        "reason": event.reason,
    }
    done = db.execute(_insert_into("event", row), row)
    if done.rowcount != 1:  # one that was held meets its wait, or came before its task
        done = db.execute(
            "UPDATE event SET applied_version = :applied_version, reason = :reason WHERE source = :source "
            "AND event_id = :event_id AND request_id = :request_id AND reason IN ('early', 'unknown_task') "
            "AND reason IS NOT :reason",
            row,
        )
    if done.rowcount != 1:
        raise Conflict(f"event {event.source}/{event.event_id} was stored before; nothing was written")


def _insert_into(table: str, row: Mapping[str, object]) -> str:
    """Return the statement for a row whose names are our own; a taken key changes nothing."""
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
