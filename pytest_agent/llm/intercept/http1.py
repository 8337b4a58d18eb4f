"""HTTP/1.1 as bytes, for the libraries that are answered at the connection: a request read, a response written."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import WireRequest

END = b"0\r\n\r\n"
"""The end of a body in pieces."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestReader:
    """Gathers the bytes of one request as a library sends them."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._head_end = -1
        self._line = ("", "")
        self.headers: dict[str, str] = {}

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """The next bytes."""
        self._data += data
        if self._head_end < 0:
            end = self._data.find(b"\r\n\r\n")
            if end >= 0:
                self._head_end = end + 4
                self._read_head(bytes(self._data[:end]))

    @property
    def has_head(self) -> bool:
        """Whether the headers are there."""
        return self._head_end >= 0

    @property
    def is_whole(self) -> bool:
        """Whether the body is there too."""
        if not self.has_head:
            return False
        if self._is_chunked:
            return self._data.endswith(END) and _pieces(bytes(self._data[self._head_end :])) is not None
        return len(self._data) - self._head_end >= int(self.headers.get("content-length", "0"))

    def wire(self) -> WireRequest:
        """The request, whole."""
        body = bytes(self._data[self._head_end :])
        method, target = self._line
        split = urlsplit(target)
        if self._is_chunked:
            body = b"".join(_pieces(body) or ())
        return WireRequest(method, path_of(split.path), self.headers, body, split.query)

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    def _read_head(self, head: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        self._line = (method, target)
        for text in lines:
            name, _, value = text.partition(":")
            self.headers[name.lower()] = value.strip()


def path_of(raw: str) -> str:
    """The path of a URL as codecs know it."""
    return unquote(raw) or "/"


def head(reply: Reply, length: int | None) -> bytes:
    """Status line and headers; a `length` of None announces a body in pieces."""
    try:
        reason = HTTPStatus(reply.status).phrase
    except ValueError:
        reason = ""
    framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
    lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in (*reply.headers, framing))]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(reply: Reply) -> bytes:
    """The response in one."""
    body = b"".join(chunk.data for chunk in reply.chunks)
    return head(reply, len(body)) + body


def piece(data: bytes) -> bytes:
    """One piece of a body in pieces; nothing for an empty one, which would be its end."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _pieces(body: bytes) -> list[bytes] | None:
    """The pieces up to the empty one that ends them, None where that has not come yet."""
    found: list[bytes] = []
    at = 0
    while True:
        line_end = body.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(body[at:line_end].partition(b";")[0], 16)
        if not size:
            return found
        at = line_end + 2 + size + 2
        found.append(body[line_end + 2 : at - 2])
