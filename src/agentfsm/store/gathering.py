"""Commits that come while others are under way are gathered, and written together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from agentfsm.records import Commit, Receipt
from agentfsm.store.usual import MOST_AT_ONCE, fits
from agentfsm.store.waiting_out import Outcome, to_its_end

UNDER_WAY = 2
"""Batches at the same time: while one is being flushed the next is prepared."""

PATIENCE_S = 0.1
"""A batch that takes longer, for a row of it is held by somebody else, no longer keeps the next one back."""

_Waiting = tuple[Commit, Outcome]


class Gathering:
    """Commits of one event loop; those of the usual shape are gathered.

    `together` writes commits of different tasks in one transaction, or returns None where one of them is refused;
    `alone` writes one.
    """

    def __init__(
        self,
        together: Callable[[Sequence[Commit]], Coroutine[Any, Any, Sequence[Receipt] | None]],
        alone: Callable[[Commit], Coroutine[Any, Any, Receipt]],
    ) -> None:
        self._together = together
        self._alone = alone
        self._waiting: list[_Waiting] = []
        self._batches: set[asyncio.Task[None]] = set()
        self._ahead: set[asyncio.Task[None]] = set()

    async def commit(self, change: Commit) -> Receipt:
        """Write it; return once it is durable. A cancelled caller still waits for the transaction to end."""
        if not fits(change):
            return await to_its_end(self._alone(change))
        outcome = Outcome(loop=asyncio.get_running_loop())
        self._waiting.append((change, outcome))
        self._go_on()
        receipt: Receipt = await outcome
        return receipt

    async def end(self) -> None:
        """Wait until every batch is written, or refused; nobody may begin another meanwhile."""
        while self._batches:
            await asyncio.wait(self._batches)

    def _go_on(self) -> None:
        while self._waiting and len(self._ahead) < UNDER_WAY:
            job = asyncio.ensure_future(self._write(self._next()))
            self._batches.add(job)
            self._ahead.add(job)
            late = asyncio.get_running_loop().call_later(PATIENCE_S, self._let_go, job)
            job.add_done_callback(partial(self._ended, late))

    def _ended(self, late: asyncio.TimerHandle, job: asyncio.Task[None]) -> None:
        late.cancel()
        self._batches.discard(job)
        self._let_go(job)

    def _let_go(self, job: asyncio.Task[None]) -> None:
        self._ahead.discard(job)
        self._go_on()

    def _next(self) -> list[_Waiting]:
        """Take from the front what may be written together: at most one commit of each task."""
        names: set[str] = set()
        for change, _ in self._waiting[:MOST_AT_ONCE]:
            if change.task.request_id in names:
                break
            names.add(change.task.request_id)
        batch, self._waiting = self._waiting[: len(names)], self._waiting[len(names) :]
        return batch

    async def _write(self, batch: list[_Waiting]) -> None:
        """Write a batch, together or else one by one; every caller is told, whatever happens."""
        try:
            receipts = await self._together([change for change, _ in batch]) if len(batch) > 1 else None
            if receipts is None:
                await asyncio.gather(*(self._write_alone(change, outcome) for change, outcome in batch))
                return
            for (_, outcome), receipt in zip(batch, receipts, strict=True):
                outcome.set_result(receipt)
        except BaseException as error:
            for _, outcome in batch:
                if not outcome.done():
                    outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise

    async def _write_alone(self, change: Commit, outcome: Outcome) -> None:
        try:
            outcome.set_result(await self._alone(change))
        except Exception as error:  # noqa: BLE001 - it is the caller's, and raised there
            outcome.set_exception(error)
