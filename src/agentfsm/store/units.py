"""Units of work for one thread: what waits meanwhile is done by one job, and told in one go."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any, TypeVar

from agentfsm.errors import StoreError
from agentfsm.records import Commit
from agentfsm.store.usual import MOST_AT_ONCE
from agentfsm.store.waiting_out import Outcome

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]


class Unit:
    """One piece of work and where its result goes. Nobody hears of it before its job is done.

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


class Units:
    """A queue before a thread of `executor`, which runs one job at a time. At most one job is draining the queue.

    `do` does some of the units, and puts a result or an error into each; what it raises is the error of all of them.
    """

    def __init__(self, executor: Executor, do: Callable[[list[Unit]], None]) -> None:
        self._executor = executor
        self._do = do
        self._lock = threading.Lock()
        self._queue: list[Unit] = []
        self._draining = False

    async def add(self, work: Callable[[sqlite3.Connection], T], change: Commit | None = None) -> T:
        """Have the work done; return its result, or raise what it raised.

        `change` is the commit that the work writes, where it may be written together with others. A cancelled caller
        still waits for the end.
        """
        unit = Unit(work, change, asyncio.get_running_loop())
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
                self._do(units)
            except BaseException as error:  # noqa: BLE001 - it is every caller's, and raised there
                for unit in units:
                    unit.error = unit.error or error
            _tell(units)


def _tell(units: list[Unit]) -> None:
    """Wake each event loop once, whatever number of units it waits for."""
    for loop in {unit.loop for unit in units}:
        mine = [unit for unit in units if unit.loop is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(units: Iterable[Unit]) -> None:
    for unit in units:
        if unit.future.done():
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.result)
