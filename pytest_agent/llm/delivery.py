"""Send a reply as a body that arrives piece by piece, under the client's own read timeout.

The same two loops serve httpx and httpx2: `lib` is the calling module, so that the client catches its own classes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from pytest_agent.errors import RunAbort
from pytest_agent.llm.model import Delivery

Sleep = Callable[[float], None]
_NEVER = float("inf")


def response(lib: ModuleType, request: Any, delivery: Delivery, sleep: Sleep, *, sync: bool) -> Any:
    """A response of `lib` whose body is the delivery. Status and headers are there at once."""
    reply = delivery.reply
    headers = [(name.encode(), value.encode()) for name, value in reply.headers]
    if not reply.streamed and reply.end == "close" and not any(chunk.delay_s for chunk in reply.chunks):
        # Nothing to wait for: it arrives whole, whether the client reads it or not.
        delivery.delivered = len(reply.chunks)
        delivery.done("cut")
        return lib.Response(reply.status, headers=headers, content=b"".join(chunk.data for chunk in reply.chunks))
    timeout = (request.extensions.get("timeout") or {}).get("read")
    late = lib.ReadTimeout("The read operation timed out", request=request)
    body: Any
    if sync:
        body = _sync_body(lib)(lambda: _send(delivery, timeout, late, sleep))
    else:
        body = _async_body(lib)(lambda: _asend(delivery, timeout, late))
    # No content-length: a body that is cut must look as it does on a chunked connection.
    return lib.Response(reply.status, headers=headers, stream=body, extensions={"http_version": b"HTTP/1.1"})


def _waits(delivery: Delivery) -> Iterator[tuple[float, bytes | None]]:
    """How long to wait before each piece; the last is the end of the body or endless silence."""
    for chunk in delivery.reply.chunks:
        yield chunk.delay_s, chunk.data
    yield (_NEVER if delivery.reply.end == "silence" else 0.0), None


def _send(delivery: Delivery, timeout_s: float | None, late: Exception, sleep: Sleep) -> Iterator[bytes]:
    try:
        for delay_s, data in _waits(delivery):
            if timeout_s is not None and delay_s > timeout_s:
                sleep(timeout_s)
                delivery.done("timeout")
                raise late
            if delay_s == _NEVER:
                delivery.done("hung")
                raise RunAbort("hung", f"{delivery.site}: the client reads for ever, it has no read timeout")
            if delay_s:
                sleep(delay_s)
            if data is not None:
                delivery.delivered += 1
                yield data
        delivery.done("cut")
    finally:
        delivery.done("closed")


async def _asend(delivery: Delivery, timeout_s: float | None, late: Exception) -> AsyncIterator[bytes]:
    try:
        for delay_s, data in _waits(delivery):
            if timeout_s is not None and delay_s > timeout_s:
                await asyncio.sleep(timeout_s)
                delivery.done("timeout")
                raise late
            if delay_s == _NEVER:
                # The agent may still have a limit of its own; with none, the clock finds nothing to wait for.
                await asyncio.get_running_loop().create_future()
            if delay_s:
                await asyncio.sleep(delay_s)
            if data is not None:
                delivery.delivered += 1
                yield data
        delivery.done("cut")
    finally:
        delivery.done("closed")


def _sync_body(lib: ModuleType) -> Any:
    class Body(lib.SyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, start: Callable[[], Iterator[bytes]]) -> None:
            self._bytes = start()

        def __iter__(self) -> Iterator[bytes]:
            return self._bytes

        def close(self) -> None:
            self._bytes.close()  # type: ignore[attr-defined]

    return Body


def _async_body(lib: ModuleType) -> Any:
    class Body(lib.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, start: Callable[[], AsyncIterator[bytes]]) -> None:
            self._bytes = start()

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._bytes

        async def aclose(self) -> None:
            await self._bytes.aclose()  # type: ignore[attr-defined]

    return Body
