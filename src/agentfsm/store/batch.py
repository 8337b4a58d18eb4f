"""Group commit: what waits to be written goes into one transaction.

Commits of the usual shape go in as one statement, everything else unit by unit; where anything is refused the batch is
done again with each unit under a savepoint of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from agentfsm.records import Commit
from agentfsm.store.units import Unit, Units

T = TypeVar("T")


class Batches(Units):
    """Writes on one thread of `executor`, which runs one job at a time.

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
        super().__init__(executor, self._write)
        self._connect = connect
        self._abandon = abandon
        self._together = together

    async def write(self, work: Callable[[sqlite3.Connection], T], change: Commit | None = None) -> T:
        """Run the work in a transaction; return once it is durable.

        `change` is the commit that the work writes, where it may be written together with others. What the work raises
        rolls back its own writes alone; a commit that fails is raised to everybody in it. A cancelled caller still
        waits for the transaction to end.
        """
        return await self.add(work, change)

    def _write(self, units: list[Unit]) -> None:
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

    def _all_together(self, db: sqlite3.Connection, units: list[Unit]) -> bool:
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


def _all_at_once(db: sqlite3.Connection, units: list[Unit]) -> bool:
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


def _do(db: sqlite3.Connection, unit: Unit) -> None:
    db.execute("SAVEPOINT unit")
    try:
        unit.result = unit.work(db)
    except Exception as error:
        if not db.in_transaction:
            raise  # the whole transaction is gone: a full disk, a broken file
        unit.error = error
        db.execute("ROLLBACK TO unit")
    db.execute("RELEASE unit")
