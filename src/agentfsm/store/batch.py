"""Group commit: what waits to be written goes into one transaction.

Commits of the usual shape go in as one statement, everything else unit by unit; where anything is refused the batch is
done again with each unit under a savepoint of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from agentfsm.errors import StoreError
from agentfsm.records import Commit
from agentfsm.store.usual import MOST_AT_ONCE
from agentfsm.store.waiting_out import Outcome

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]


class _Unit:
    """One piece of work and where its result goes. Nobody hears of it before the batch is durable.

    `change` is the commit that the work writes, where it may be written together with others.
    """

    __slots__ = ("change", "error", "future", "loop", "result", "work")

    def __init__(self, work: Work, change: Commit | None, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.change = change
        self.loop = loop
        self.future: asyncio.Future[Any] = Outcome(loop=loop)
        self.result: Any = None
        self.error: BaseException | None = None


class Batches:
    """Writes on one thread of `executor`, which runs one job at a time. At most one job is draining the queue.

    `connect` opens the database, or returns it open; `abandon` is called where its transaction cannot be ended;
    `together` writes commits of different tasks in one transaction and returns their results, or None where it cannot.
    """

    def __init__(
        self,
        executor: Executor,
        connect: Callable[[], sqlite3.Connection],
        abandon: Callable[[], None],
        together: Callable[[sqlite3.Connection, list[Commit]], Sequence[Any] | None],
    ) -> None:
        self._executor = executor
        self._connect = connect
        self._abandon = abandon
        self._together = together
        self._lock = threading.Lock()
        self._queue: list[_Unit] = []
        self._draining = False

    async def write(self, work: Callable[[sqlite3.Connection], T], change: Commit | None = None) -> T:
        """Run the work in a transaction; return once it is durable.

        `change` is the commit that the work writes, where it may be written together with others.

        What it raises rolls back its own writes alone; a commit that fails is raised to everybody in it. A cancelled
        caller still waits for the transaction to end.
        """
        unit = _Unit(work, change, asyncio.get_running_loop())
        with self._lock:
            self._queue.append(unit)
            idle, self._draining = not self._draining, True
        if idle:
            self._start()
        result: T = await unit.future
        return result

    def _start(self) -> None:
        try:
            self._executor.submit(self._drain)
        except RuntimeError:  # another thread has closed the store meanwhile
            with self._lock:
                units, self._queue, self._draining = self._queue, [], False
            for unit in units:
                unit.error = StoreError("the store is closed", code="store_closed")
            _tell(units)

    def _drain(self) -> None:
        while True:
            with self._lock:
                units, self._queue = self._queue[:MOST_AT_ONCE], self._queue[MOST_AT_ONCE:]
                if not units:
                    self._draining = False
                    return
            try:
                self._write(units)
            except BaseException as error:  # noqa: BLE001 - it is every caller's, and raised there
                for unit in units:
                    unit.error = unit.error or error
            _tell(units)

    def _write(self, units: list[_Unit]) -> None:
        """Do all units in one transaction, or none."""
        db = self._connect()
        if self._all_together(db, units):
            return
        try:
            db.execute("BEGIN IMMEDIATE")
            if not _all_at_once(db, units):
                for unit in units:
                    _do(db, unit)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                try:
                    db.execute("ROLLBACK")
                except sqlite3.Error:
                    self._abandon()  # closing rolls back as well
            raise

    def _all_together(self, db: sqlite3.Connection, units: list[_Unit]) -> bool:
        """Write commits of different tasks in one statement; return whether that is what they are, and it was taken."""
        changes = [unit.change for unit in units if unit.change is not None]
        names = {change.task.request_id for change in changes}
        if len(units) == 1 or len(names) != len(units):
            return False
        results = self._together(db, changes)
        if results is None:
            return False
        for unit, result in zip(units, results, strict=True):
            unit.result = result
        return True


def _all_at_once(db: sqlite3.Connection, units: list[_Unit]) -> bool:
    """Do all units without savepoints, which is how it nearly always goes; where one raises, nothing is done yet."""
    try:
        for unit in units:
            unit.result = unit.work(db)
    except Exception:
        if not db.in_transaction:
            raise  # the whole transaction is gone: a full disk, a broken file
        db.execute("ROLLBACK")
        db.execute("BEGIN IMMEDIATE")
        return False
    return True


def _do(db: sqlite3.Connection, unit: _Unit) -> None:
    db.execute("SAVEPOINT unit")
    try:
        unit.result = unit.work(db)
    except Exception as error:
        if not db.in_transaction:
            raise  # the whole transaction is gone: a full disk, a broken file
        unit.error = error
        db.execute("ROLLBACK TO unit")
    db.execute("RELEASE unit")


def _tell(units: list[_Unit]) -> None:
    """Wake each event loop once, whatever number of units it waits for."""
    for loop in {unit.loop for unit in units}:
        mine = [unit for unit in units if unit.loop is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(units: Iterable[_Unit]) -> None:
    for unit in units:
        if unit.future.done():
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.result)
