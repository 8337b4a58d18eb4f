"""The SQLite store: one file, one writer with group commit, one reader beside it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from agentfsm.errors import StoreError
from agentfsm.records import Commit, Control, Inbound, Incident, Receipt, Step, Task
from agentfsm.store import claiming, rows, writes
from agentfsm.store.batch import Batches
from agentfsm.store.opening import open_reader, open_writer
from agentfsm.store.schema import Schema

T = TypeVar("T")
_LIVE = "fsm_state NOT IN ('DONE', 'FAILED')"


class SQLiteStore:
    """Durable state in one file. `busy_s` is how long a transaction waits for another process.

    Every flush reaches the disk (WAL, synchronous=FULL): a lost intent would allow a second effect. A file of an older
    layout is brought up to date when it is opened, in one transaction. With `read_only`, nothing is ever written.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        busy_s: float = 10.0,
        schema: Schema | None = None,
        read_only: bool = False,
    ) -> None:
        self._path = Path(path)
        self._busy_s = busy_s
        self._schema = schema or Schema()
        self._read_only = read_only
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentfsm-store")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentfsm-reader")
        self._batches = Batches(self._writer, self._write_db)
        self._write_connection: sqlite3.Connection | None = None
        self._read_connection: sqlite3.Connection | None = None
        self._closed = False

    async def commit(self, change: Commit) -> Receipt:
        """Write all of it or nothing. A cancelled caller still waits for the transaction to end."""
        return await self._write(lambda db: writes.write(db, change, self._schema))

    async def load(self, request_id: str) -> Task | None:
        """Return the task, or None."""
        found = await self._rows("SELECT * FROM task WHERE request_id = ?", request_id)
        return rows.task(found[0], self._schema) if found else None

    async def steps(self, request_id: str) -> list[Step]:
        """Return every attempt of every step, in order."""
        query = "SELECT * FROM agent_steps WHERE request_id = ? ORDER BY step_id, attempt"
        return [rows.step(row) for row in await self._rows(query, request_id)]

    async def event(self, source: str, event_id: str) -> Inbound | None:
        """Return the event of that source and id, or None."""
        found = await self._rows("SELECT * FROM event WHERE source = ? AND event_id = ?", source, event_id)
        return rows.event(found[0]) if found else None

    async def inbox(self, request_id: str) -> list[Inbound]:
        """Return the events that are held for a wait to come, as they arrived."""
        query = "SELECT * FROM event WHERE request_id = ? AND reason = 'early' ORDER BY rowid"
        return [rows.event(row) for row in await self._rows(query, request_id)]

    async def audit(self, request_id: str) -> list[dict[str, Any]]:
        """Return the audit entries, in order, each with `version` and `at`; those of controls under ''."""
        query = "SELECT version, at, data FROM audit WHERE request_id = ? ORDER BY version, seq"
        return [entry for row in await self._rows(query, request_id) for entry in rows.audit(row)]

    async def claim(self, owner: str, labels: Sequence[str], now: float, lease_s: float, limit: int) -> list[Task]:
        """Take up to `limit` tasks that have something to do and nobody is at; see `ports.Store`."""
        given = (owner, tuple(labels), now, lease_s, limit)
        return await self._write(lambda db: [rows.task(row, self._schema) for row in claiming.claim(db, *given)])

    async def request_cancel(self, request_id: str) -> bool:
        """Ask that the task be cancelled; return whether it was still under way."""
        query = f"UPDATE task SET cancel_requested = 1 WHERE request_id = ? AND {_LIVE}"  # noqa: S608
        return await self._write(lambda db: db.execute(query, (request_id,)).rowcount == 1)

    async def controls(self) -> tuple[int, dict[str, Control]]:
        """Return the number of the last change, and every control by its key."""
        found = await self._rows("SELECT key, value, version, change FROM control")
        controls = {row["key"]: Control(row["key"], rows.unpack(row["value"]), row["version"]) for row in found}
        return max((row["change"] for row in found), default=0), controls

    async def set_control(self, key: str, value: Any, at: float, *, expected: int | None = None) -> int:
        """Write a control and an audit row of it; return its new version. Raise Conflict; see `ports.Store`."""
        return await self._write(lambda db: writes.set_control(db, key, value, at, expected))

    async def tasks(self, *, state: str | None = None, label: str | None = None, limit: int = 50) -> list[Task]:
        """Return tasks, the last changed first."""
        query = (
            "SELECT * FROM task WHERE (?1 IS NULL OR fsm_state = ?1) AND (?2 IS NULL OR workflow = ?2) "
            "ORDER BY updated_at DESC, request_id LIMIT ?3"
        )
        return [rows.task(row, self._schema) for row in await self._rows(query, state, label, limit)]

    async def outcomes(self, name: str) -> dict[str, dict[str, int]]:
        """Return how often live tasks of a workflow ended how, by label."""
        query = (
            "SELECT workflow, outcome, count(*) AS n FROM task WHERE substr(workflow, 1, length(?1) + 1) = ?1 || '@' "
            "AND mode = 'live' AND fsm_state IN ('DONE', 'FAILED') GROUP BY workflow, outcome"
        )
        found: dict[str, dict[str, int]] = {}
        for row in await self._rows(query, name):
            found.setdefault(row["workflow"], {})[row["outcome"]] = row["n"]
        return found

    async def incidents(self, *, limit: int = 100) -> list[Incident]:
        """Return incidents, the last first."""
        query = "SELECT * FROM incident ORDER BY seq DESC LIMIT ?"
        return [rows.incident(row) for row in await self._rows(query, limit)]

    async def close(self) -> None:
        """Close the file and end both threads. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._reader, self._close_reader)
        await loop.run_in_executor(self._writer, self._close_writer)
        self._reader.shutdown()
        self._writer.shutdown()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        if self._read_only:
            raise StoreError(f"{self._path} is open for reading only; nothing was written", code="read_only")
        try:
            return await self._batches.write(work)
        except sqlite3.Error as error:
            raise _store_error(self._path, error) from error

    async def _rows(self, query: str, *given: Any) -> list[sqlite3.Row]:
        self._check_open()
        loop = asyncio.get_running_loop()
        if self._read_connection is None and not self._read_only:
            await self._write(lambda _db: None)  # makes the file and its tables
        try:
            return await loop.run_in_executor(self._reader, self._read, query, given)
        except sqlite3.Error as error:
            raise _store_error(self._path, error) from error

    def _read(self, query: str, given: tuple[Any, ...]) -> list[sqlite3.Row]:
        if self._read_connection is None:
            self._read_connection = open_reader(self._path, self._busy_s)
        return self._read_connection.execute(query, given).fetchall()

    def _write_db(self) -> sqlite3.Connection:
        if self._write_connection is None:
            self._write_connection = open_writer(self._path, self._busy_s)
        return self._write_connection

    def _close_reader(self) -> None:
        if self._read_connection is not None:
            self._read_connection.close()

    def _close_writer(self) -> None:
        if self._write_connection is not None:
            self._write_connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed", code="store_closed")


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return the typed error; only what another try can mend has the default code."""
    said = str(error)
    codes = {
        "SQLITE_FULL": "disk_full",
        "SQLITE_READONLY": "read_only",
        "SQLITE_CANTOPEN": "cannot_open",
        "SQLITE_CORRUPT": "corrupt_file",
        "SQLITE_NOTADB": "corrupt_file",
    }
    name = getattr(error, "sqlite_errorname", "") or ""
    code = next((code for prefix, code in codes.items() if name.startswith(prefix)), StoreError.default_code)
    return StoreError(f"{path}: {said}", code=code, reason=said)
