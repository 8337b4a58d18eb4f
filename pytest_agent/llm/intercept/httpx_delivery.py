"""Send a reply as a body that arrives piece by piece, under the client's own read timeout.

The same two loops serve httpx and httpx2: `lib` is the calling module, so that the client catches its own classes.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from pytest_agent.llm.intercept.desk import Sending, Sleep
from pytest_agent.llm.intercept.pieces import NEVER, arrives_whole, hung, waits
from pytest_agent.llm.reply import Reply

Release = Callable[[], None]
_HTTP_VERSION = {"http_version": b"HTTP/1.1"}


def respond(lib: ModuleType, request: Any, delivery: Sending, sleep: Sleep, release: Release) -> Any:
    """A response of `lib` whose body is the delivery, when its head has arrived. Raises as a connection does.

    `release` is called when the client closes the response.
    """
    head_s, timeout_s = delivery.reply.head_s, _read_timeout(request)
    if timeout_s is not None and head_s > timeout_s:
        sleep(timeout_s)
        delivery.done("timeout")
        raise _late(lib, request)
    if head_s == NEVER:
        raise hung(delivery, "the client waits for ever, it has no read timeout")
    if head_s:
        sleep(head_s)
    return _response(lib, request, delivery, release, sleep)


async def arespond(lib: ModuleType, request: Any, delivery: Sending, release: Release) -> Any:
    """The same for an async client."""
    head_s, timeout_s = delivery.reply.head_s, _read_timeout(request)
    too_late = timeout_s is not None and head_s > timeout_s
    try:
        if head_s == NEVER and not too_late:
            await asyncio.get_running_loop().create_future()
        if head_s:
            await asyncio.sleep(min(head_s, NEVER if timeout_s is None else timeout_s))
    except BaseException:
        delivery.done("closed")
        raise
    if too_late:
        delivery.done("timeout")
        raise _late(lib, request)
    return _response(lib, request, delivery, release, None)


def _response(lib: ModuleType, request: Any, delivery: Sending, release: Release, sleep: Sleep | None) -> Any:
    reply = delivery.reply
    if arrives_whole(reply):
        delivery.delivered = len(reply.chunks)
        delivery.done("cut")
        return _whole_response(lib, reply, release)
    timeout_s, late, broken = _read_timeout(request), _late(lib, request), _broken(lib, request, reply)
    body: Any
    if sleep is not None:
        body = _bodies(lib).Sync(delivery, release, _send(delivery, timeout_s, late, broken, sleep))
    else:
        body = _bodies(lib).Async(delivery, release, _asend(delivery, timeout_s, late, broken))
    # No content-length: a body that is cut must look as it does on a chunked connection.
    return lib.Response(reply.status, headers=_headers(reply), stream=body, extensions=_HTTP_VERSION)


def _whole_response(lib: ModuleType, reply: Reply, release: Release) -> Any:
    # Unread, as it is on a connection.
    data = b"".join(chunk.data for chunk in reply.chunks)
    headers = [*_headers(reply), (b"content-length", str(len(data)).encode())]
    body = _bodies(lib).Whole(data, release)
    return lib.Response(reply.status, headers=headers, stream=body, extensions=_HTTP_VERSION)


def _headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in reply.headers]


def _read_timeout(request: Any) -> float | None:
    read: float | None = (request.extensions.get("timeout") or {}).get("read")
    return read


def _late(lib: ModuleType, request: Any) -> Exception:
    error: Exception = lib.ReadTimeout("The read operation timed out", request=request)
    return error


def _broken(lib: ModuleType, request: Any, reply: Reply) -> Exception | None:
    """What the library raises where the connection breaks at the end of this reply."""
    error: Exception | None = None
    if reply.end == "reset":
        error = lib.ReadError("[Errno 104] Connection reset by peer", request=request)
    elif reply.end == "incomplete":
        message = "peer closed connection without sending complete message body (incomplete chunked read)"
        error = lib.RemoteProtocolError(message, request=request)
    return error


def _send(
    delivery: Sending, timeout_s: float | None, late: Exception, broken: Exception | None, sleep: Sleep
) -> Iterator[bytes]:
    try:
        for delay_s, chunk in waits(delivery):
            if timeout_s is not None and delay_s > timeout_s:
                sleep(timeout_s)
                delivery.done("timeout")
                raise late
            if delay_s == NEVER:
                raise hung(delivery, "the client reads for ever, it has no read timeout")
            if delay_s:
                sleep(delay_s)
            if chunk is not None:
                delivery.hand_over(chunk)
                yield chunk.data
        delivery.done("cut")
        if broken is not None:
            raise broken
    finally:
        delivery.done("closed")


async def _asend(
    delivery: Sending, timeout_s: float | None, late: Exception, broken: Exception | None
) -> AsyncIterator[bytes]:
    try:
        for delay_s, chunk in waits(delivery):
            if timeout_s is not None and delay_s > timeout_s:
                await asyncio.sleep(timeout_s)
                delivery.done("timeout")
                raise late
            if delay_s == NEVER:
                # The agent may still have a limit of its own; with none, the clock finds nothing to wait for.
                await asyncio.get_running_loop().create_future()
            if delay_s:
                await asyncio.sleep(delay_s)
            if chunk is not None:
                delivery.hand_over(chunk)
                yield chunk.data
        delivery.done("cut")
        if broken is not None:
            raise broken
    finally:
        delivery.done("closed")


@functools.cache
def _bodies(lib: ModuleType) -> Any:
    """The three kinds of body, as classes of `lib`: made once, not once for each response."""

    class Sync(lib.SyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, delivery: Sending, release: Release, pieces: Iterator[bytes]) -> None:
            self._delivery = delivery
            self._release = release
            self._bytes = pieces

        def __iter__(self) -> Iterator[bytes]:
            return self._bytes

        def close(self) -> None:
            self._bytes.close()  # type: ignore[attr-defined]
            # A generator that never began has no `finally` to run.
            self._delivery.done("closed")
            self._release()

    class Async(lib.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, delivery: Sending, release: Release, pieces: AsyncIterator[bytes]) -> None:
            self._delivery = delivery
            self._release = release
            self._bytes = pieces

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._bytes

        async def aclose(self) -> None:
            try:
                await self._bytes.aclose()  # type: ignore[attr-defined]
            finally:
                self._delivery.done("closed")
                self._release()

    class Whole(lib.SyncByteStream, lib.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, data: bytes, release: Release) -> None:
            self._data = data
            self.close = release

        async def aclose(self) -> None:
            self.close()

        def __iter__(self) -> Iterator[bytes]:
            yield self._data

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._data

    class Bodies:
        pass

    Bodies.Sync, Bodies.Async, Bodies.Whole = Sync, Async, Whole  # type: ignore[attr-defined]
    return Bodies
