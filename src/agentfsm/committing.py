"""Committing: one durable write, tried again where the store could not do its work.

An acknowledgement may be lost after the write. So before another try the task is read again: if it is exactly
what was to be written, under this worker's own name, the write is done.
"""

from __future__ import annotations

from dataclasses import replace

from agentfsm.errors import StoreError
from agentfsm.parts import Parts
from agentfsm.records import Commit
from agentfsm.recovery import Deadline


async def commit(parts: Parts, change: Commit) -> int:
    """Write it and tell the observer; return the version. Raise Conflict, or StoreError once it stays broken."""
    own = Deadline.after(parts.clock, parts.limits.step_s)
    attempt = 1
    while True:
        try:
            version = await parts.store.commit(change)
            break
        except StoreError as error:
            key = f"{change.task.request_id}:commit:{change.task.version}"
            pause = parts.retry.pause(key, attempt, None, own)
            if error.code != StoreError.default_code or pause is None:
                raise
            await parts.clock.sleep(pause)
            attempt += 1
            if await _written(parts, change):
                version = change.task.version + change.moves
                break
    parts.telling.tell(change, version)
    return version


async def _written(parts: Parts, change: Commit) -> bool:
    if change.moves:
        found = await parts.store.load(change.task.request_id)
        return found == replace(change.task, version=change.task.version + 1)
    event = change.event
    return event is not None and await parts.store.event(event.source, event.event_id) == event
