"""Committing: one durable write, tried again where the store could not do its work.

An acknowledgement may be lost after the write. So before another try the task is read again: if it is exactly
what was to be written, under this worker's own name, the write is done.
"""

from __future__ import annotations

from agentfsm.errors import StoreError
from agentfsm.parts import Parts
from agentfsm.records import Commit, Receipt
from agentfsm.recovery import Deadline


async def commit(parts: Parts, change: Commit) -> Receipt:
    """Write it and tell the observer; return the receipt. Raise Conflict, or StoreError once it stays broken."""
    own = Deadline.after(parts.clock, parts.limits.step_s)
    attempt = 1
    while True:
        try:
            receipt = await parts.store.commit(change)
            break
        except StoreError as error:
            key = f"{change.task.request_id}:commit:{change.task.version}"
            pause = parts.retry.pause(key, attempt, None, own)
            if error.code != StoreError.default_code or pause is None:
                raise
            await parts.clock.sleep(pause)
            attempt += 1
            if await _written(parts, change):
                receipt = Receipt(change.task.version + change.moves)
                break
    parts.telling.tell(change, receipt.version)
    return receipt


async def _written(parts: Parts, change: Commit) -> bool:
    if change.moves:
        found = await parts.store.load(change.task.request_id)
        return found == change.task.but(version=change.task.version + 1)
    event = change.event
    return event is not None and await parts.store.event(event.source, event.event_id) == event
