"""One SQLite file: the thread that writes, the thread that reads beside it, and their connections."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from agentfsm.errors import StoreError
from agentfsm.records import Commit, Receipt
from agentfsm.store import sqlite_fused
from agentfsm.store.batch import Batches
from agentfsm.store.opening import open_reader, open_writer
from agentfsm.store.schema import Schema
from agentfsm.store.sqlite_errors import REFUSALS, store_error
from agentfsm.store.units import Unit, Units

T = TypeVar("T")


class SQLiteFile:
    """Opened when first used. `busy_s` is how long a transaction waits for another process.

    With `read_only`, nothing is ever written. May be used from several event loops.
    """

    def __init__(self, path: Path, *, busy_s: float, schema: Schema, read_only: bool) -> None:
        self.path = path
        self._busy_s = busy_s
        self._schema = schema
        self._read_only = read_only
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentfsm-store")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentfsm-reader")
        self._batches = Batches(self._writer, self._write_db, self._drop_writer, self._together)
        self._reads = Units(self._reader, self._read)
        self._write_connection: sqlite3.Connection | None = None
        self._takes_many = False  # whether that one has been made ready for many commits in one statement
        self._read_connection: sqlite3.Connection | None = None
        self._closed = False

    async def close(self) -> None:
        """Let what is under way end, close the file and end both threads. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._reader, self._drop_reader)
        await loop.run_in_executor(self._writer, self._drop_writer)
        self._reader.shutdown()
        self._writer.shutdown()
        self._drop_reader()  # what had begun before may have opened them anew
        self._drop_writer()

    def _together(self, db: sqlite3.Connection, changes: Sequence[Commit]) -> Sequence[Receipt] | None:
        if not self._takes_many:  # a store with one task at a time never has to be
            sqlite_fused.prepare(db)
            self._takes_many = True
        return sqlite_fused.write_all(db, changes, self._schema)

    async def write(self, work: Callable[[sqlite3.Connection], T], change: Commit | None = None) -> T:
        """Run the work in a transaction; return once it is durable. See `Batches.write`."""
        self._check_open()
        if self._read_only:
            raise StoreError(f"{self.path} is open for reading only; nothing was written", code="read_only")
        try:
            return await self._batches.write(work, change)
        except REFUSALS as error:
            raise store_error(self.path, error) from error

    async def rows(self, query: str, *given: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query, as they were last committed."""
        self._check_open()
        try:
            if self._read_connection is None and not await self._on(self._reader, self._open_reader):
                await self._on(self._writer, self._write_db)  # makes the file and its tables
            return await self._reads.add(lambda db: db.execute(query, given).fetchall())
        except REFUSALS as error:
            raise store_error(self.path, error) from error

    async def _on(self, thread: ThreadPoolExecutor, act: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            doing = loop.run_in_executor(thread, act)
        except RuntimeError:  # another thread has closed the store meanwhile
            self._check_open()
            raise
        return await doing

    def _open_reader(self) -> bool:
        """Open what there is; return whether there is something, for a reader only has what a writer has made."""
        try:
            self._read_connection = self._read_connection or open_reader(self.path, self._busy_s, self._schema)
        except (sqlite3.OperationalError, StoreError) as error:
            code = error.code if isinstance(error, StoreError) else store_error(self.path, error).code
            if self._read_only or code not in {"cannot_open", "old_schema"}:
                raise
            return False
        return True

    def _read(self, units: list[Unit]) -> None:
        if self._read_connection is None:
            self._read_connection = open_reader(self.path, self._busy_s, self._schema)
        for unit in units:
            try:
                unit.result = unit.work(self._read_connection)
            except REFUSALS as error:
                unit.error = error

    def _write_db(self) -> sqlite3.Connection:
        if self._write_connection is None:
            self._write_connection = open_writer(self.path, self._busy_s, self._schema)
        return self._write_connection

    def _drop_reader(self) -> None:
        if self._read_connection is not None:
            self._read_connection.close()
            self._read_connection = None

    def _drop_writer(self) -> None:
        if self._write_connection is not None:
            self._write_connection.close()
            self._write_connection, self._takes_many = None, False

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed", code="store_closed")
