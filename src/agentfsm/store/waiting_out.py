"""Seeing a write to its end, whatever becomes of the one who waits for it."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(future: asyncio.Future[T]) -> T:
    """Return the result; a caller that is cancelled meanwhile, however often, goes on only once it is there."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:  # the first one is raised below
                continue
        if not future.cancelled():
            future.exception()  # the caller is gone; the next reader sees what was written
        raise
