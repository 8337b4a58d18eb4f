"""Send one reply over a connection: at once where nothing is to be waited for, else by the timers of the loop.

Every piece of a stream is written by itself, so that it leaves in a segment of its own; `coalesce` puts together what
has no time between it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.server.answer import Answer
from pytest_agent.llm.server.framing import LAST_PIECE, head, piece

if TYPE_CHECKING:
    from pytest_agent.llm.server.connection import Connection

AT_ONCE = 64
"""Pieces that are written before others get their turn."""

_NEVER = float("inf")


class Sending:
    """The state of one reply: which piece is next, and when."""

    def __init__(
        self, connection: Connection, answer: Answer, *, keep_alive: bool, chunked: bool, coalesce: bool
    ) -> None:
        self._connection = connection
        self._answer = answer
        self._reply = answer.reply
        self._keep_alive = keep_alive
        self._coalesce = coalesce
        self._next = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._chunked = chunked
        self._pending = b""
        self._begun = False

    @property
    def is_quick(self) -> bool:
        """Whether what is left needs no waiting, except for the client."""
        reply = self._reply
        waits = any(chunk.delay_s for chunk in reply.chunks[self._next :]) or (not self._begun and reply.head_s)
        return not waits and reply.end not in ("silence", "keep-alive")

    def begin(self) -> None:
        """Send what can be sent now."""
        reply = self._reply
        if reply.head_s:
            if reply.head_s != _NEVER:
                self._timer = self._connection.loop.call_later(reply.head_s, self._start)
            return
        self._start()

    def go_on(self) -> None:
        """The client reads again."""
        if self._begun and self._timer is None:
            self._run()

    def stop(self) -> None:
        """The client has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._answer.done("closed")

    def _start(self) -> None:
        self._timer, self._begun = None, True
        reply, connection = self._reply, self._connection
        if reply.head_s and is_whole(reply, head_s=reply.head_s):
            connection.transport.write(whole(self._answer, keep_alive=self._keep_alive))
            connection.sent(keep_alive=self._keep_alive)
            return
        self._keep_alive = self._keep_alive and self._chunked
        self._pending = head(reply, None, keep_alive=self._keep_alive, chunked=self._chunked)
        self._due = connection.loop.time()
        if self._coalesce:
            self._run_together()
        else:
            self._run()

    def _run(self) -> None:
        """Write the pieces whose time has come."""
        self._timer = None
        connection, chunks, hand_over = self._connection, self._reply.chunks, self._answer.hand_over
        write, closing, chunked = connection.transport.write, connection.transport.is_closing, self._chunked
        last = min(len(chunks), self._next + AT_ONCE)
        while self._next < last:
            if not connection.writable or closing():
                return  # until the client reads again; where it has gone, the loop is about to say so
            chunk = chunks[self._next]
            if chunk.delay_s and self._not_yet(chunk):
                return
            self._next += 1
            hand_over(chunk)
            data = piece(chunk.data) if chunked else chunk.data
            if self._pending:
                data, self._pending = self._pending + data, b""
            write(data)
        if self._next < len(chunks):
            self._timer = connection.loop.call_soon(self._run)
        else:
            self._end()

    def _run_together(self) -> None:
        """The same, all pieces up to the next wait in one."""
        self._timer = None
        connection, chunks = self._connection, self._reply.chunks
        parts = [self._pending] if self._pending else []
        self._pending = b""
        wait = False
        while self._next < len(chunks) and not wait:
            chunk = chunks[self._next]
            if chunk.delay_s and self._not_yet(chunk, self._run_together):
                wait = True
            else:
                self._next += 1
                self._answer.hand_over(chunk)
                parts.append(piece(chunk.data) if self._chunked else chunk.data)
        if not wait and self._reply.end == "close" and self._chunked:
            parts.append(LAST_PIECE)
        connection.transport.write(b"".join(parts))
        if not wait:
            self._end(closed=True)

    def _not_yet(self, chunk: Chunk, again: object = None) -> bool:
        """Whether the piece has to wait, counted from when the one before it was due; if so it is seen to."""
        loop = self._connection.loop
        due = self._due + chunk.delay_s
        if due == _NEVER:
            self._flush_head()
            return True
        if due > loop.time():
            self._flush_head()
            run = self._run_together if again is not None else self._run
            self._timer = loop.call_at(due, run)
            return True
        self._due = due
        return False

    def _flush_head(self) -> None:
        if self._pending:
            self._connection.transport.write(self._pending)
            self._pending = b""

    def _end(self, *, closed: bool = False) -> None:
        connection, end = self._connection, self._reply.end
        self._flush_head()
        if end == "silence":
            return
        if end == "keep-alive" and self._reply.words is not None:
            self._timer = connection.loop.call_later(connection.limits.keep_alive_s, self._keep_alive_event)
            return
        self._answer.done("cut")
        if end == "reset":
            reset(connection.transport)
        elif end == "incomplete":
            connection.sent(keep_alive=False)
        else:
            if self._chunked and not closed:
                connection.transport.write(LAST_PIECE)
            connection.sent(keep_alive=self._keep_alive)

    def _keep_alive_event(self) -> None:
        words, connection = self._reply.words, self._connection
        if words is not None and connection.writable:
            connection.transport.write(piece(words.keep_alive) if self._chunked else words.keep_alive)
        self._timer = connection.loop.call_later(connection.limits.keep_alive_s, self._keep_alive_event)


def is_whole(reply: Reply, head_s: float = 0.0) -> bool:
    """Whether a reply goes out at once and in one, with its length; `head_s` is how long it has waited already."""
    if reply.streamed or reply.end != "close" or reply.head_s != head_s:
        return False
    chunks = reply.chunks
    return not chunks[0].delay_s if len(chunks) == 1 else not any(chunk.delay_s for chunk in chunks)


def whole(answer: Answer, *, keep_alive: bool) -> bytes:
    """All of such a reply; from here on the client counts as having it."""
    reply = answer.reply
    chunks = reply.chunks
    body = chunks[0].data if len(chunks) == 1 else b"".join([chunk.data for chunk in chunks])
    for chunk in chunks:
        answer.hand_over(chunk)
    answer.done("cut")
    return head(reply, len(body), keep_alive=keep_alive, chunked=False) + body


def reset(transport: asyncio.Transport) -> None:
    """Break the connection off so that the client sees a reset."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
