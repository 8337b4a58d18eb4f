"""One client's connection: bytes in, one answer after the other out, and an end where the client takes too long.

What is wrong with the HTTP itself is answered here, 4xx and the end of the connection; everything else by the app.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

from pytest_agent.clock import is_readable
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import WireRequest
from pytest_agent.llm.server.answer import Answer
from pytest_agent.llm.server.framing import CONTINUE
from pytest_agent.llm.server.limits import Limits
from pytest_agent.llm.server.reading import Arrived, Reader, Refusal
from pytest_agent.llm.server.sending import Sending, is_whole, reset, whole

if TYPE_CHECKING:
    from pytest_agent.llm.server.engine import Engine

_TEXT = ("content-type", "text/plain; charset=utf-8")
_NEVER = float("inf")


class Application(Protocol):
    """What answers whole requests."""

    def answer(self, wire: WireRequest) -> Answer | None:
        """The answer; None to break the connection off without one."""

    def too_large(self, wire: WireRequest) -> Reply:
        """What a body that is larger than the limit is answered with; `wire` has none."""

    def failed(self, error: BaseException) -> None:
        """An error of the server itself; it must not go unseen."""


class Connection(asyncio.BufferedProtocol):
    """Reads requests, also several at once, and has them answered in order."""

    def __init__(self, engine: Engine, app: Application, limits: Limits) -> None:
        self._engine = engine
        self._app = app
        self.limits = limits
        self.loop = engine.loop
        self.transport: asyncio.Transport
        self._reader = Reader(limits)
        self._waiting: deque[Arrived] = deque()
        self._sending: Sending | None = None
        self._refused = self._closing = self._held = False
        self.writable = True
        self._port = 0
        self._fd = -1
        self.deadline = 0.0
        """Real time of the loop after which it is `overdue`; infinite while an answer is under way."""

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self.transport = cast("asyncio.Transport", transport)
        self.deadline = self.loop.time() + self.limits.idle_s
        self._port = int(transport.get_extra_info("peername", ("", 0))[1])
        self._fd = transport.get_extra_info("socket").fileno()
        self._engine.came(self, self._port)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; what was under way has not arrived."""
        del exc
        self._engine.gone(self, self._port)
        self._closing = True
        self._waiting.clear()
        if self._sending is not None:
            sending, self._sending = self._sending, None
            sending.stop()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        del sizehint
        return self._engine.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read: some bytes of a request, or of several."""
        if self._refused or self._closing:  # it is let finish, so that it comes to read the answer
            return
        reader = self._reader
        reader.feed(self._engine.buffer[:nbytes])
        if reader.arrived:
            self._waiting.extend(reader.arrived)
            reader.arrived.clear()
            self._answer_next()
            if len(self._waiting) > self.limits.pipelined:
                self._held = True
                self.transport.pause_reading()
        if reader.refusal is not None:
            self._refuse(reader.refusal)
        elif reader.upgraded:
            self.finish()  # nothing else is spoken here: the request is answered, and that is all
        elif reader.partial and self._sending is None:
            self._wait_for_more()

    def eof_received(self) -> bool:
        """The client sends no more. What it asked for before is answered, if that is at once, and that is the end."""
        self._closing = True
        return self._sending is not None and self._sending.is_quick

    def pause_writing(self) -> None:
        """The client reads more slowly than we send."""
        self.writable = False
        self.deadline = self.loop.time() + self.limits.unread_s

    def resume_writing(self) -> None:
        """It has caught up."""
        self.writable = True
        if self._sending is not None:
            self.deadline = _NEVER
            self._sending.go_on()
        elif not self._refused:
            self.deadline = self.loop.time() + self.limits.idle_s
            self._answer_next()

    # What follows.

    @property
    def busy(self) -> bool:
        """Whether an answer is under way or owed."""
        return self._sending is not None or bool(self._waiting)

    @property
    def is_at_work(self) -> bool:
        """Whether the client waits for something. Any thread may ask, while the loop waits."""
        return self.busy or self._reader.partial or self.transport.get_write_buffer_size() > 0

    @property
    def has_unread(self) -> bool:
        """Whether the client has sent something that was not read yet. Any thread may ask, while the loop waits."""
        return is_readable(self._fd)

    def finish(self) -> None:
        """Close as soon as nothing is under way."""
        self._closing = True
        if not self.busy:
            self.transport.close()

    def overdue(self) -> None:
        """The client has let its time run out."""
        if self._refused or not self.writable:
            reset(self.transport)  # what it has not read is not kept for it
        elif self._reader.partial:
            self._refuse(Refusal("The request did not arrive in time", 408))
        else:
            self.transport.close()

    def sent(self, *, keep_alive: bool) -> None:
        """An answer is complete."""
        self._sending = None
        if not keep_alive or (self._closing and not self._waiting):
            self._end()
            return
        if self.writable:
            self.deadline = self.loop.time() + self.limits.idle_s
        if self._waiting:
            self.loop.call_soon(self._answer_next)

    def _answer_next(self) -> None:
        if self._sending is not None or not self._waiting or not self.writable or self.transport.is_closing():
            return
        next_ = self._waiting.popleft()
        if self._held and len(self._waiting) <= self.limits.pipelined // 2:
            self._held = False
            self.transport.resume_reading()
        answer = self._app.answer(next_.wire)
        if answer is None:
            self.transport.abort()
        else:
            last = self._closing and not self._waiting
            self._send(answer, keep_alive=next_.keep_alive and not last, chunked=next_.chunked)

    def _send(self, answer: Answer, *, keep_alive: bool, chunked: bool = True) -> None:
        if not is_whole(answer.reply):
            self._send_slowly(answer, keep_alive=keep_alive, chunked=chunked)
            return
        data = whole(answer, keep_alive=keep_alive)
        self.transport.write(data)
        self.sent(keep_alive=keep_alive)

    def _send_slowly(self, answer: Answer, *, keep_alive: bool, chunked: bool) -> None:
        self.deadline = _NEVER
        self._sending = Sending(self, answer, keep_alive=keep_alive, chunked=chunked, coalesce=self._engine.coalesce)
        self._sending.begin()

    def _wait_for_more(self) -> None:
        reader = self._reader
        if not reader.in_head:
            self.deadline = self.loop.time() + self.limits.body_s
        elif reader.began:
            self.deadline = self.loop.time() + self.limits.head_s
        if reader.wants_continue:
            reader.wants_continue = False
            self.transport.write(CONTINUE)

    def _end(self) -> None:
        if self._refused:
            # A client that is still sending would lose the answer if its bytes met a closed socket.
            self.deadline = self.loop.time() + self.limits.linger_s
            if self.transport.can_write_eof():
                self.transport.write_eof()
        else:
            self._closing = True
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        self._refused = True
        if self.busy:  # what was asked before is answered as ever, and that is the end
            self._closing = True
        elif refusal.wire is not None:
            self._send(Answer(self._app.too_large(refusal.wire)), keep_alive=False)
        else:
            body = Chunk(refusal.why.encode() + b"\n")
            self._send(
                Answer(Reply(refusal.status, (_TEXT,), (body,), error_code="http", meant=False)), keep_alive=False
            )
