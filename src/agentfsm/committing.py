"""Committing: one durable write, tried again where the store could not do its work.

An acknowledgement may be lost after the write. So before another try the task is read again: if it is exactly
what was to be written, under this worker's own name, the write is done. The same where the other try meets a
conflict: the first one may have reached the database only after it was read.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from agentfsm.contracts import compact
from agentfsm.errors import Conflict, StoreError
from agentfsm.parts import Parts
from agentfsm.records import Commit, Inbound, Receipt, Task
from agentfsm.recovery import Deadline


async def commit(parts: Parts, change: Commit) -> Receipt:
    """Write it and tell the observer; return the receipt. Raise Conflict, or StoreError once it stays broken."""
    try:
        receipt = await parts.store.commit(change)
    except StoreError as error:
        receipt = await _again(parts, change, error)
    parts.telling.tell(change, receipt.version)
    return receipt


async def _again(parts: Parts, change: Commit, error: StoreError) -> Receipt:
    """Try until it is written or there is no time left; raise the last error then."""
    own = Deadline.after(parts.clock, parts.limits.step_s)
    key = f"{change.task.request_id}:commit:{change.task.version}"
    attempt = 1
    while True:
        pause = parts.retry.pause(key, attempt, None, own) if error.passing else None
        if pause is None:
            raise error
        await parts.clock.sleep(pause)
        attempt += 1
        try:
            return await _written(parts, change) or await parts.store.commit(change)
        except StoreError as again:
            error = again
        except Conflict:
            receipt = await _written(parts, change)
            if receipt is None:
                raise
            return receipt


async def _written(parts: Parts, change: Commit) -> Receipt | None:
    """Return the receipt of a change that is stored already."""
    name, store = change.task.request_id, parts.store
    found = await store.load(name)
    if not change.moves:
        event = change.event
        if event is None or not _same(await store.event(event.source, event.event_id), event):
            return None
    elif not _same(found, change.task.but(version=change.task.version + 1)):
        return None
    last, _ = await store.controls()
    return Receipt(change.task.version + change.moves, last, found is not None and found.cancel_requested)


def _same(found: Task | Inbound | None, given: Task | Inbound) -> bool:
    """Whether a record that was read is the one that was given. JSON gives a tuple back as a list, a key as a text."""
    if found is None or found == given:
        return found is not None
    both = ((getattr(found, field.name), getattr(given, field.name)) for field in fields(given) if field.compare)
    return all(old == new or _plain(old) == _plain(new) for old, new in both)


def _plain(value: Any) -> Any:
    return json.loads(compact(value))
