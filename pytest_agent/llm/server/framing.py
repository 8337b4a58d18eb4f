"""Replies as HTTP/1.1: the head, and the pieces of a body whose length nobody knows yet."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from http import HTTPStatus

from pytest_agent.llm.reply import Reply

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_PIECE = b"0\r\n\r\n"


def head(reply: Reply, length: int | None, *, keep_alive: bool, chunked: bool) -> bytes:
    """Status line and headers. `length` None: in pieces where the client takes them, else until the end."""
    lines = [_status_line(reply.status)]
    lines.extend([_line(name, value) for name, value in reply.headers])
    if length is not None:
        lines.append(b"content-length: %d\r\n" % length)
    elif chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    lines.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    return b"".join(lines)


def piece(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def pieces(datas: Sequence[bytes]) -> bytes:
    """Several, each a piece of its own."""
    return b"".join([b"%x\r\n%b\r\n" % (len(data), data) for data in datas if data])


@functools.lru_cache(maxsize=600)
def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded" if status == 529 else "Unknown"
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


@functools.lru_cache(maxsize=2_000)
def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()
