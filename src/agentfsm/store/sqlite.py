"""The SQLite store: one file, one writer thread, one transaction per commit."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any, TypeVar

from agentfsm.errors import Conflict, StoreError
from agentfsm.records import Commit, Control, Inbound, Receipt, Step, Task
from agentfsm.store import rows
from agentfsm.store.schema import TABLES
from agentfsm.store.writes import write

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

    async def commit(self, change: Commit) -> Receipt:
        """Write all of it or nothing. A cancelled caller still waits for the transaction to end."""

        def put(db: Any) -> Receipt:
            version = write(db, change)
            change_no = db.execute("SELECT coalesce(max(change),0) FROM control").fetchone()[0]
            cancel = db.execute(
                "SELECT cancel_requested FROM task WHERE request_id=?", (change.task.request_id,)
            ).fetchone()
            return Receipt(version, change_no, bool(cancel and cancel[0]))

        return await self._call(put)

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

    async def event(self, source: str, event_id: str) -> Inbound | None:
        """Return the event of that source and id, or None."""

        def read(db: sqlite3.Connection) -> Inbound | None:
            query = "SELECT * FROM event WHERE source = ? AND event_id = ?"
            row = db.execute(query, (source, event_id)).fetchone()
            return None if row is None else rows.event(row)

        return await self._call(read)

    async def inbox(self, request_id: str) -> list[Inbound]:
        """Return the events that are held for a wait to come, as they arrived."""
        query = "SELECT * FROM event WHERE request_id = ? AND reason = 'early' ORDER BY rowid"
        return await self._call(lambda db: [rows.event(r) for r in db.execute(query, (request_id,))])

    async def audit(self, request_id: str) -> list[dict[str, Any]]:
        """Return the audit rows, in order, each with `version` and `at`."""
        query = "SELECT version, at, data FROM audit WHERE request_id = ? ORDER BY seq"

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            found = db.execute(query, (request_id,))
            return [{**json.loads(row["data"]), "version": row["version"], "at": row["at"]} for row in found]

        return await self._call(read)

    async def controls(self) -> Any:
        def read(db: Any) -> Any:
            rows_ = db.execute("SELECT key, value, version, change FROM control").fetchall()
            return max([r["change"] for r in rows_], default=0), {
                r["key"]: Control(r["key"], json.loads(r["value"]), r["version"]) for r in rows_
            }

        return await self._call(read)

    async def set_control(self, key: str, value: Any, at: float, *, expected: int | None = None) -> int:
        def put(db: Any) -> int:
            row = db.execute("SELECT version FROM control WHERE key=?", (key,)).fetchone()
            v = row["version"] if row else 0
            if expected is not None and v != expected:
                raise Conflict("control")
            db.execute(
                "INSERT OR REPLACE INTO control VALUES (?,?,?,(SELECT coalesce(max(change),0)+1 FROM control))",
                (key, json.dumps(value), v + 1),
            )
            return v + 1

        return await self._call(put)

    async def claim(self, owner: str, labels: Any, now: float, lease_s: float, limit: int) -> list[Task]:
        def put(db: Any) -> list[Task]:
            marks = ",".join("?" * len(labels))
            found = db.execute(
                f"SELECT * FROM task WHERE workflow IN ({marks}) AND fsm_state NOT IN ('DONE','FAILED') AND (owner IS NULL OR lease_until <= ?) "
                "AND (next_run_at <= ? OR (next_run_at IS NULL AND fsm_state <> 'WAITING_EXTERNAL') OR cancel_requested = 1) ORDER BY updated_at LIMIT ?",
                (*labels, now, now, limit),
            ).fetchall()
            out = []
            for row in found:
                db.execute(
                    "UPDATE task SET owner=?, lease_until=?, fence=fence+1 WHERE request_id=?",
                    (owner, now + lease_s, row["request_id"]),
                )
                again = db.execute("SELECT * FROM task WHERE request_id=?", (row["request_id"],)).fetchone()
                out.append(rows.task(again))
            return out

        return await self._call(put)

    async def request_cancel(self, request_id: str) -> bool:
        return await self._call(
            lambda db: (
                db.execute(
                    "UPDATE task SET cancel_requested=1 WHERE request_id=? AND fsm_state NOT IN ('DONE','FAILED')",
                    (request_id,),
                ).rowcount
                == 1
            )
        )

    async def tasks(self, *, state: Any = None, label: Any = None, limit: int = 50) -> list[Task]:
        return await self._call(
            lambda db: [
                rows.task(r)
                for r in db.execute(
                    "SELECT * FROM task WHERE (?1 IS NULL OR fsm_state=?1) AND (?2 IS NULL OR workflow=?2) ORDER BY updated_at DESC LIMIT ?3",
                    (state, label, limit),
                )
            ]
        )

    async def outcomes(self, name: str) -> Any:
        def read(db: Any) -> Any:
            out: Any = {}
            for r in db.execute(
                "SELECT workflow, outcome, count(*) n FROM task WHERE workflow LIKE ? AND mode='live' AND fsm_state IN ('DONE','FAILED') GROUP BY 1,2",
                (name + "@%",),
            ):
                out.setdefault(r["workflow"], {})[r["outcome"]] = r["n"]
            return out

        return await self._call(read)

    async def incidents(self, *, limit: int = 100) -> Any:
        return []

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
