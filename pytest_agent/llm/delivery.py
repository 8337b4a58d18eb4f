"""Send a reply as a body that arrives piece by piece, under the client's own read timeout.

The same two loops serve httpx and httpx2: `lib` is the calling module, so that the client catches its own classes.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from pytest_agent.errors import RunAbort
from pytest_agent.llm.model import Delivery
from pytest_agent.llm.reply import Chunk, Reply

Sleep = Callable[[float], None]
_NEVER = float("inf")
_HTTP_VERSION = {"http_version": b"HTTP/1.1"}


def response(lib: ModuleType, request: Any, delivery: Delivery, sleep: Sleep, *, sync: bool) -> Any:
    """A response of `lib` whose body is the delivery. Status and headers are there at once."""
    reply = delivery.reply
    if not reply.streamed and reply.end == "close" and not any(chunk.delay_s for chunk in reply.chunks):
        # Nothing to wait for: it arrives whole, whether the client reads it or not.
        delivery.delivered = len(reply.chunks)
        delivery.done("cut")
        return whole_response(lib, reply)
    timeout_s = (request.extensions.get("timeout") or {}).get("read")
    late = lib.ReadTimeout("The read operation timed out", request=request)
    body: Any
    if sync:
        body = _bodies(lib).Sync(delivery, lambda: _send(delivery, timeout_s, late, sleep))
    else:
        body = _bodies(lib).Async(delivery, lambda: _asend(delivery, timeout_s, late))
    # No content-length: a body that is cut must look as it does on a chunked connection.
    return lib.Response(reply.status, headers=_headers(reply), stream=body, extensions=_HTTP_VERSION)


def whole_response(lib: ModuleType, reply: Reply) -> Any:
    """A response of `lib` whose body is there at once, and unread as it is on a connection."""
    data = b"".join(chunk.data for chunk in reply.chunks)
    headers = [*_headers(reply), (b"content-length", str(len(data)).encode())]
    return lib.Response(reply.status, headers=headers, stream=_bodies(lib).Whole(data), extensions=_HTTP_VERSION)


def _headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in reply.headers]


def _waits(delivery: Delivery) -> Iterator[tuple[float, Chunk | None]]:
    """How long to wait before each piece; the last is the end of the body or endless silence."""
    for chunk in delivery.reply.chunks:
        yield chunk.delay_s, chunk
    yield (_NEVER if delivery.reply.end == "silence" else 0.0), None


def _send(delivery: Delivery, timeout_s: float | None, late: Exception, sleep: Sleep) -> Iterator[bytes]:
    try:
        for delay_s, chunk in _waits(delivery):
            if timeout_s is not None and delay_s > timeout_s:
                sleep(timeout_s)
                delivery.done("timeout")
                raise late
            if delay_s == _NEVER:
                delivery.done("hung")
                raise RunAbort("hung", f"{delivery.site}: the client reads for ever, it has no read timeout")
            if delay_s:
                sleep(delay_s)
            if chunk is not None:
                delivery.hand_over(chunk)
                yield chunk.data
        delivery.done("cut")
    finally:
        delivery.done("closed")


async def _asend(delivery: Delivery, timeout_s: float | None, late: Exception) -> AsyncIterator[bytes]:
    try:
        for delay_s, chunk in _waits(delivery):
            if timeout_s is not None and delay_s > timeout_s:
                await asyncio.sleep(timeout_s)
                delivery.done("timeout")
                raise late
            if delay_s == _NEVER:
                # The agent may still have a limit of its own; with none, the clock finds nothing to wait for.
                await asyncio.get_running_loop().create_future()
            if delay_s:
                await asyncio.sleep(delay_s)
            if chunk is not None:
                delivery.hand_over(chunk)
                yield chunk.data
        delivery.done("cut")
    finally:
        delivery.done("closed")


@functools.cache
def _bodies(lib: ModuleType) -> Any:
    """The three kinds of body, as classes of `lib`: made once, not once for each response."""

    class Sync(lib.SyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, delivery: Delivery, start: Callable[[], Iterator[bytes]]) -> None:
            self._delivery = delivery
            self._bytes = start()

        def __iter__(self) -> Iterator[bytes]:
            return self._bytes

        def close(self) -> None:
            self._bytes.close()  # type: ignore[attr-defined]
            # A generator that never began has no `finally` to run.
            self._delivery.done("closed")

    class Async(lib.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, delivery: Delivery, start: Callable[[], AsyncIterator[bytes]]) -> None:
            self._delivery = delivery
            self._bytes = start()

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._bytes

        async def aclose(self) -> None:
            try:
                await self._bytes.aclose()  # type: ignore[attr-defined]
            finally:
                self._delivery.done("closed")

    class Whole(lib.SyncByteStream, lib.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, data: bytes) -> None:
            self._data = data

        def __iter__(self) -> Iterator[bytes]:
            yield self._data

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._data

    class Bodies:
        pass

    Bodies.Sync, Bodies.Async, Bodies.Whole = Sync, Async, Whole  # type: ignore[attr-defined]
    return Bodies
