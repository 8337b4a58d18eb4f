"""A transport without a socket: it takes a request of aiohttp's protocol and feeds it the response.

Each piece waits until the one before it has been read, as far as the flow control of the library says so; thus one
piece at most has arrived ahead of the reader.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from typing import Any

from pytest_agent.llm.intercept import http1
from pytest_agent.llm.intercept.desk import Route, Sending
from pytest_agent.llm.intercept.pieces import NEVER, arrives_whole, waits
from pytest_agent.llm.reply import Chunk

_Step = tuple[float, bytes, Chunk | None]


class DeliveryTransport(asyncio.Transport):
    """One connection with one request. `protocol` is a `ResponseHandler`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, route: Route) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._route = route
        self._request = http1.RequestReader()
        self._sending: Sending | None = None
        self._steps: Iterator[_Step] = iter(())
        self._next: asyncio.Handle | None = None
        self._silent_since_s = 0.0
        self._full = False
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """The next bytes of the request; the answer follows the last one."""
        if self._sending is not None or self._next is not None:
            return
        had_head = self._request.has_head
        self._request.feed(data)
        if self._request.is_whole:
            self._next = self._loop.call_soon(self._answer)
        elif not had_head and self._request.has_head and "expect" in self._request.headers:
            self._loop.call_soon(self._protocol.data_received, http1.CONTINUE)

    def get_write_buffer_size(self) -> int:
        """All that was written has left."""
        return 0

    def can_write_eof(self) -> bool:
        """It cannot: a request says itself where it ends."""
        return False

    def is_closing(self) -> bool:
        """Whether it is closed or broken."""
        return self._closing

    def pause_reading(self) -> None:
        """What has arrived was not read yet."""
        self._full = True

    def resume_reading(self) -> None:
        """It was: go on."""
        if self._full:
            self._full = False
            if not self._closing:
                self._next = self._loop.call_soon(self._go_on)

    def close(self) -> None:
        """The client wants no more of it."""
        if not self._closing:
            limit_s = self._protocol.read_timeout
            self._end()
            if self._sending is not None:
                late = limit_s and self._loop.time() - self._silent_since_s >= limit_s
                self._sending.done("timeout" if late else "closed")
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """As `close`: nothing is under way to the server."""
        self.close()

    def _answer(self) -> None:
        self._next = None
        try:
            self._sending = self._route(self._request.wire())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits for the response gets it
            self._protocol.set_exception(error)
            return
        self._steps = self._arrive(self._sending)
        self._go_on()

    def _arrive(self, sending: Sending) -> Iterator[_Step]:
        reply = sending.reply
        if arrives_whole(reply):
            yield reply.head_s, http1.whole(reply), None
            sending.delivered = len(reply.chunks)
            sending.done("cut")
            return
        yield reply.head_s, http1.head(reply, None), None
        for delay_s, chunk in waits(sending):
            if chunk is not None:
                yield delay_s, http1.piece(chunk.data), chunk
            elif delay_s:
                yield delay_s, b"", None
        sending.done("cut")
        if reply.end == "close":
            yield 0.0, http1.END, None
        else:
            self._break_off(reply.end)

    def _go_on(self) -> None:
        self._next = None
        self._silent_since_s = self._loop.time()
        try:
            step = next(self._steps, None)
        except BaseException as error:  # noqa: BLE001 - as above
            self._protocol.set_exception(error)
            return
        if step is None or step[0] == NEVER or self._closing:
            return
        delay_s, data, chunk = step
        if delay_s:
            self._next = self._loop.call_later(delay_s, self._deliver, data, chunk)
        else:
            self._deliver(data, chunk)

    def _deliver(self, data: bytes, chunk: Chunk | None) -> None:
        self._next = None
        if chunk is not None and self._sending is not None:
            self._sending.hand_over(chunk)
        self._protocol.data_received(data)
        if self._closing:
            return
        if data and chunk is not None:
            self._protocol.pause_reading()
        else:
            self._next = self._loop.call_soon(self._go_on)

    def _break_off(self, how: str) -> None:
        self._end()
        lost = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer") if how == "reset" else None
        self._protocol.connection_lost(lost)

    def _end(self) -> None:
        self._closing = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
