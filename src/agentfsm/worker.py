"""A worker: takes up whatever has something to do and nobody is at, for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from agentfsm import leases
from agentfsm.errors import AgentError, StoreError
from agentfsm.records import Task, TaskResult
from agentfsm.runtime import Runtime

Report = Callable[[str, TaskResult | AgentError], None]


class Worker:
    """Scans the store again and again, so that nothing waits for a restart: any number of them share a store.

    `concurrency` bounds the tasks at the same time, `poll_s` is the pause between two looks that found nothing, with
    jitter from `seed`; a longer pause between two attempts is left to the store. `report` is told of every task that
    was carried as far as it got, of every error of one, and under the name "" of a look that failed; none of these
    stops the worker. A task that fails in a way that is no end of its own is left to its lease (code `crashed`: its
    workflow raised), and so are the tasks at hand when the worker itself is cancelled.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        concurrency: int = 16,
        poll_s: float = 1.0,
        lease_s: float = 30.0,
        seed: int = 0,
        report: Report | None = None,
    ) -> None:
        self._runtime = runtime
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._random = random.Random(seed)  # noqa: S311 - spreads workers, guards nothing
        self._report = report or (lambda _name, _result: None)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish the tasks at hand."""
        with leases.owner() as owner:
            try:
                while not stop.is_set():
                    if not await self._take(owner):
                        await self._rest(stop)
                while self._tasks:
                    await asyncio.wait(self._tasks)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until_idle(self) -> None:
        """Work until a look finds nothing to do."""
        with leases.owner() as owner:
            busy = True
            while busy:
                busy = bool(self._tasks)  # one that ends while the look is under way may leave something to do
                if await self._take(owner):
                    busy = True
                elif self._tasks:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _take(self, owner: str) -> bool:
        room = self._concurrency - len(self._tasks)
        if not room:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            return True
        runtime = self._runtime
        now = runtime.clock.time()
        try:
            claimed = await runtime.store.claim(owner, runtime.labels, now, self._lease_s, room)
        except StoreError as error:  # it may be back at the next look
            self._report("", error)
            return False
        for task in claimed:
            job = asyncio.create_task(self._carry(task, owner))
            self._tasks.add(job)
            job.add_done_callback(self._tasks.discard)
        return bool(claimed)

    async def _carry(self, task: Task, owner: str) -> None:
        try:
            result = await self._runtime.drive_claimed(task, owner, patience_s=self._poll_s)
        except AgentError as error:  # also a Conflict: somebody else has it by now
            self._report(task.request_id, error)
        except Exception as error:  # noqa: BLE001 - the bug of one workflow must not stop the tasks of others
            crashed = AgentError(f"task {task.request_id!r} raised {type(error).__name__}: {error}", code="crashed")
            crashed.__cause__ = error
            self._report(task.request_id, crashed)
        else:
            self._report(task.request_id, result)

    async def _rest(self, stop: asyncio.Event) -> None:
        pause = asyncio.ensure_future(self._runtime.clock.sleep(self._poll_s * self._random.uniform(0.5, 1.0)))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({pause, stopped, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in (pause, stopped):
                job.cancel()
