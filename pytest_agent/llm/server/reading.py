"""From the bytes of one connection to whole requests."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import httptools

from pytest_agent.llm.request import WireRequest
from pytest_agent.llm.server.limits import Limits


class Arrived(NamedTuple):
    """A whole request, whether the connection is kept after it, and whether its client takes a body in pieces."""

    wire: WireRequest
    keep_alive: bool
    chunked: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing more is read: HTTP that is wrong gets `status`, a body that is too large the provider's own 413."""

    why: str
    status: int = 413
    wire: WireRequest | None = None


@functools.lru_cache(maxsize=500)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


class Reader:
    """Feeds the parser, whose callbacks are the methods that begin with `on_`."""

    def __init__(self, limits: Limits) -> None:
        self.arrived: list[Arrived] = []
        """Requests that are complete; whoever takes them empties the list."""
        self.refusal: Refusal | None = None
        self.partial = False
        """Whether a request has begun and is not complete."""
        self.in_head = True
        self.wants_continue = False
        self.upgraded = False
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._began = False
        self._head_bytes = self._body_bytes = 0
        self._url, self._method = b"", ""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    @property
    def began(self) -> bool:
        """Whether the last bytes held the beginning of a request."""
        return self._began

    def feed(self, data: bytes | memoryview) -> None:
        """More bytes. What is wrong with them is in `refusal` afterwards."""
        self._began = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(bytes(data[offer.args[0] :]))
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            self.refusal = self.refusal or Refusal(f"Bad request: {error}", 400)
        if self.in_head and not self._began:  # a head that is long in coming: no callback has seen it yet
            self._head_bytes += len(data)
            self._check_head()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._began = self.in_head = self.partial = True
        self._head_bytes = self._body_bytes = 0
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or after the body a trailer, of which nothing is made."""
        if self.in_head:
            key, text = _lower(name), value.decode("latin-1")
            self._head_bytes += len(name) + len(value)
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """The end of the head."""
        self.in_head = False
        self._method = self._parser.get_method().decode("ascii")
        if self._parser.should_upgrade() and self._method != "CONNECT":
            return  # it is read once more, without the offer
        self._check_head()
        length = self._headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._limits.body_bytes:
            self._too_large()
        elif self._headers.get("expect", "").lower() == "100-continue":
            self.wants_continue = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.refusal is None:
            self._body.append(body)
            self._body_bytes += len(body)
            if self._body_bytes > self._limits.body_bytes:
                self._too_large()

    def on_message_complete(self) -> None:
        """The end of a request."""
        self.partial = self.wants_continue = False
        self.upgraded = self._parser.should_upgrade()
        if self.upgraded and self._method != "CONNECT":
            return
        if self.refusal is None:
            chunked = self._parser.get_http_version() != "1.0"
            self.arrived.append(Arrived(self._wire(), self._parser.should_keep_alive(), chunked))
            self._body = []

    def _decline(self, rest: bytes) -> None:
        """Read the request as if it had not offered another protocol, as a server that speaks only this one may.

        The parser itself leaves what follows such a head unread, the body too.
        """
        if self._method == "CONNECT":
            return
        self.upgraded = False
        kept = [f"{name}: {value}" for name, value in self._headers.items() if name not in ("connection", "upgrade")]
        head = "\r\n".join([f"{self._method} {self._url.decode('latin-1')} HTTP/1.1", *kept, "", ""])
        self._parser = httptools.HttpRequestParser(self)
        self.feed(head.encode("latin-1") + rest)

    def _wire(self) -> WireRequest:
        path, _, query = self._url.decode("latin-1").partition("?")
        if not path.startswith("/"):  # the whole URL, as proxies are sent it
            path = "/" + path.partition("://")[2].partition("/")[2]
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return WireRequest(self._method, path, self._headers, body, query)

    def _check_head(self) -> None:
        if self._head_bytes > self._limits.head_bytes and self.refusal is None:
            self.refusal = Refusal("The head of the request is too large", 431)

    def _too_large(self) -> None:
        self._body = []
        if self.refusal is None:
            self.refusal = Refusal("The body is too large", wire=self._wire())
