"""Group commit: whatever waits to be written goes into one transaction, each unit under a savepoint of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from agentfsm.errors import AgentError

T = TypeVar("T")
Connect = Callable[[], sqlite3.Connection]


class _Unit:
    """One piece of work and where its result goes. Nobody hears of it before the batch is durable."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Batches:
    """Writes on one thread of `executor`, which runs one job at a time. At most one job is draining the queue."""

    def __init__(self, executor: Executor, connect: Connect) -> None:
        self._executor = executor
        self._connect = connect
        self._lock = threading.Lock()
        self._queue: deque[_Unit] = deque()
        self._draining = False

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work in a transaction; return once it is durable.

        What it raises rolls back its own writes alone; a commit that fails is raised to everybody in it. A cancelled
        caller still waits for the transaction to end.
        """
        loop = asyncio.get_running_loop()
        unit = _Unit(work, loop)
        with self._lock:
            self._queue.append(unit)
            idle, self._draining = not self._draining, True
        if idle:
            loop.run_in_executor(self._executor, self._drain)
        try:
            result: T = await asyncio.shield(unit.future)
        except asyncio.CancelledError:
            await asyncio.wait([unit.future])
            if not unit.future.cancelled():
                unit.future.exception()  # the caller is gone; the next reader sees what was written
            raise
        return result

    def _drain(self) -> None:
        while True:
            with self._lock:
                units = list(self._queue)
                self._queue.clear()
                if not units:
                    self._draining = False
                    return
            self._run(units)
            loops = {unit.loop for unit in units}
            for loop in loops:
                mine = [unit for unit in units if unit.loop is loop]
                if not loop.is_closed():  # else nobody waits there any more
                    loop.call_soon_threadsafe(_resolve, mine)

    def _run(self, units: list[_Unit]) -> None:
        """Do all units in one transaction."""
        db: sqlite3.Connection | None = None
        try:
            db = self._connect()
            db.execute("BEGIN IMMEDIATE")
            for unit in units:
                _one(db, unit)
            db.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - it is every caller's, and raised there
            for unit in units:
                unit.error = unit.error or error
            if db is not None and db.in_transaction:
                db.execute("ROLLBACK")


def _one(db: sqlite3.Connection, unit: _Unit) -> None:
    db.execute("SAVEPOINT unit")
    try:
        unit.result = unit.work(db)
    except (AgentError, sqlite3.DatabaseError, ValueError, TypeError, UnicodeError) as error:
        if not db.in_transaction:
            raise  # the whole transaction is gone: a full disk, a broken file
        unit.error = error
        db.execute("ROLLBACK TO unit")
    db.execute("RELEASE unit")


def _resolve(units: list[_Unit]) -> None:
    for unit in units:
        unit.resolve()
