"""Seeing a write to its end, whatever becomes of the one who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Outcome(asyncio.Future[Any]):
    """What becomes of a write. Who awaits it and is cancelled meanwhile goes on, cancelled, once it is there."""

    def cancel(self, msg: Any = None) -> bool:
        """Do nothing: a transaction that is under way cannot be called off."""
        del msg
        return False


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Do the work in a task of its own and return its result; a caller that is cancelled meanwhile waits for it."""
    outcome = Outcome(loop=asyncio.get_running_loop())
    job = asyncio.ensure_future(work)
    job.add_done_callback(lambda done: tell(outcome, done))
    result: T = await outcome
    return result


def tell(outcome: Outcome, job: asyncio.Future[Any]) -> None:
    """Give the outcome what became of the job. Where the loop is shut down under it, its caller is cancelled too."""
    error = asyncio.CancelledError() if job.cancelled() else job.exception()
    if error is None:
        outcome.set_result(job.result())
    else:
        outcome.set_exception(error)
