"""The SQLite store: one file, one writer thread, one transaction per commit."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any, TypeVar

from agentfsm.contracts import canonical
from agentfsm.errors import Conflict, InputChanged, StoreError
from agentfsm.records import Commit, Step, Task
from agentfsm.store import rows
from agentfsm.store.schema import SCHEMA_VERSION, TABLES

T = TypeVar("T")
_WAL_TRIES = 20


class SQLiteStore:
    """Durable state in one file. `busy_s` is how long a transaction waits for another process.

    Every flush reaches the disk (WAL, synchronous=FULL): a lost intent would allow a second effect.
    """

    def __init__(self, path: str | PathLike[str], *, busy_s: float = 10.0) -> None:
        self._path = path
        self._busy_s = busy_s
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentfsm-store")
        self._db: sqlite3.Connection | None = None
        self._closed = False

    async def commit(self, change: Commit) -> int:
        """Write all of it or nothing. A cancelled caller still waits for the transaction to end."""
        return await self._call(lambda db: _write(db, change))

    async def load(self, request_id: str) -> Task | None:
        """Return the task, or None."""

        def read(db: sqlite3.Connection) -> Task | None:
            row = db.execute("SELECT * FROM task WHERE request_id = ?", (request_id,)).fetchone()
            return None if row is None else rows.task(row)

        return await self._call(read)

    async def steps(self, request_id: str) -> list[Step]:
        """Return every attempt of every step, in order."""
        query = "SELECT * FROM agent_steps WHERE request_id = ? ORDER BY step_id, attempt"
        return await self._call(lambda db: [rows.step(r) for r in db.execute(query, (request_id,))])

    async def audit(self, request_id: str) -> list[dict[str, Any]]:
        """Return the audit rows, in order, each with `version` and `at`."""
        query = "SELECT version, at, data FROM audit WHERE request_id = ? ORDER BY seq"

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            found = db.execute(query, (request_id,))
            return [{**json.loads(row["data"]), "version": row["version"], "at": row["at"]} for row in found]

        return await self._call(read)

    async def close(self) -> None:
        """Close the file and end the writer thread. Safe to call twice."""
        if self._closed:
            return
        if self._db is not None:
            await self._call(lambda db: db.close())
        self._closed = True
        self._pool.shutdown()

    async def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreError("the store is closed", code="store_closed")
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(self._connect()))
        try:
            return await asyncio.shield(future)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}", reason=str(error)) from error
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # the caller is gone; the next reader sees what was written
            raise

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False)
            try:
                db.row_factory = sqlite3.Row
                _switch_to_wal(db)
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA foreign_keys = ON")
                db.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL; two processes doing so at once get `locked` in spite of the busy timeout."""
    for left in reversed(range(_WAL_TRIES)):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or not left:
                raise
            db.execute("BEGIN IMMEDIATE")  # waits for the other process under the busy timeout
            db.execute("ROLLBACK")
        else:
            return


def _write(db: sqlite3.Connection, change: Commit) -> int:
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _write_task(db, change)
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
        query = f"UPDATE task SET {sets} WHERE request_id = :request_id AND version = :read_at"  # noqa: S608
        done = db.execute(query, {**row, "read_at": task.version})
    if done.rowcount != 1:
        raise Conflict(
            f"task {task.request_id!r} is no longer at version {task.version}; nothing was written",
            request_id=task.request_id,
            version=task.version,
        )
    return version


def _finish(db: sqlite3.Connection, step: Step) -> None:
    done = db.execute(
        "UPDATE agent_steps SET status = :status, output_data = :output_data, error_code = :error_code, "
        "finished_at = :finished_at WHERE request_id = :request_id AND step_id = :step_id "
        "AND attempt = :attempt AND status = 'pending'",
        rows.of(step),
    )
    if done.rowcount != 1:
        raise Conflict(f"{step.key} attempt {step.attempt} is not pending; nothing was written", key=step.key)


def _insert(db: sqlite3.Connection, step: Step) -> None:
    row = {**rows.of(step), "idempotency_key": step.key}
    taken = db.execute(
        "SELECT 1 FROM agent_steps WHERE request_id = :request_id AND step_id = :step_id "
        "AND (input_hash <> :input_hash OR status <> 'failed') LIMIT 1",
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
        "applied_version": version,
    }
    done = db.execute(_insert_into("event", row), row)
    if done.rowcount != 1:
        raise Conflict(f"event {event.source}/{event.event_id} was applied before; nothing was written")


def _insert_into(table: str, row: Mapping[str, object]) -> str:
    """Return the statement for a row whose names are our own; a taken key changes nothing."""
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
