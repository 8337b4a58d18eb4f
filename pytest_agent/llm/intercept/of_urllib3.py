"""urllib3, and so requests: a connection that is answered gets a socket of ours, and the library does the rest itself.

Its retries, timeouts, redirects, streaming and exceptions are its own: it reads bytes as from any socket.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from pytest_agent.guard import is_loopback
from pytest_agent.llm.intercept import http1
from pytest_agent.llm.intercept.desk import Desk, Route, Sending, desk_here
from pytest_agent.llm.intercept.pieces import NEVER, arrives_whole, hung, waits
from pytest_agent.patches import Patches


def patch(lib: ModuleType, patches: Patches) -> None:
    """Every request of this library asks the desk of its context first."""
    pools = lib.connectionpool
    postponed: WeakSet[Any] = WeakSet()
    tunnel = pools.HTTPSConnectionPool._prepare_proxy
    patches.put(
        pools.HTTPConnectionPool, "_make_request", _make_request(lib, pools.HTTPConnectionPool._make_request, postponed)
    )
    patches.put(pools.HTTPSConnectionPool, "_prepare_proxy", _prepare_proxy(tunnel, postponed))


def _make_request(lib: ModuleType, original: Callable[..., Any], postponed: WeakSet[Any]) -> Callable[..., Any]:
    def make_request(pool: Any, conn: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        desk = desk_here()
        route = None if desk is None else _route(lib, desk, pool, conn, method, url)
        if desk is None or route is None:
            if conn in postponed:
                postponed.discard(conn)
                pool._prepare_proxy(conn)
            return original(pool, conn, method, url, *args, **options)
        conn.close()  # it may be one to a real server, kept alive
        conn.sock = _Socket(desk, route)
        # As after a connection that went well; a certificate is nobody's.
        conn.is_verified = True
        conn._has_connected_to_proxy = conn.proxy_is_verified = bool(conn.proxy)
        try:
            return original(pool, conn, method, url, *args, **options)
        finally:
            # One connection carries one request: the pool finds it closed.
            conn.sock = None

    return make_request


def _prepare_proxy(original: Callable[..., Any], postponed: WeakSet[Any]) -> Callable[..., Any]:
    def prepare_proxy(pool: Any, conn: Any) -> None:
        """Reach the proxy when it is known that the request goes there."""
        if desk_here() is None or conn in postponed:
            original(pool, conn)
        else:
            postponed.add(conn)

    return prepare_proxy


def _route(lib: ModuleType, desk: Desk, pool: Any, conn: Any, method: str, url: str) -> Route | None:
    """Who answers, None for what goes through. Raises the library's NewConnectionError where nobody does."""
    # A proxy is asked for the whole URL.
    split = urlsplit(url if "://" in url[:8] else f"{pool.scheme}://{pool.host}:{pool.port or ''}{url}")
    if desk.goes_through(split.hostname, split.port):
        return None
    proxy = getattr(pool, "proxy", None)
    local = is_loopback(split.hostname) or (proxy is not None and is_loopback(proxy.host))
    route = desk.route(method, http1.path_of(split.path), local=local)
    if route is not None or local:
        return route
    place = split.hostname if split.port is None else f"{split.hostname}:{split.port}"
    detail = desk.nothing_answers("urllib3", method, f"{split.scheme}://{place}{split.path}")
    raise lib.exceptions.NewConnectionError(conn, detail)


class _Socket:
    """What `http.client` needs of a connected socket: it takes a request and gives the response, piece by piece."""

    def __init__(self, desk: Desk, route: Route) -> None:
        self._desk = desk
        self._route = route
        self._request = http1.RequestReader()
        self._timeout_s: float | None = None

    def sendall(self, data: bytes) -> None:
        """The next bytes of the request."""
        self._request.feed(data)

    def settimeout(self, timeout_s: float | None) -> None:
        """The longest silence, in seconds of the clock."""
        self._timeout_s = timeout_s

    def setsockopt(self, *option: object) -> None:
        """Nothing to set."""

    def shutdown(self, how: int) -> None:
        """Nothing is sent after the request."""

    def close(self) -> None:
        """A response outlives its connection, as it does on a socket."""

    def makefile(self, mode: str, *args: object) -> io.BufferedReader:
        """The response, as a file."""
        del mode, args
        return io.BufferedReader(_Body(self._arrive()))

    def _arrive(self) -> Iterator[bytes]:
        sending = self._route(self._request.wire())
        reply = sending.reply
        try:
            self._wait(sending, reply.head_s, "waits for ever")
            if arrives_whole(reply):
                sending.delivered = len(reply.chunks)
                sending.done("cut")
                yield http1.whole(reply)
                return
            yield http1.head(reply, None)
            for delay_s, chunk in waits(sending):
                self._wait(sending, delay_s, "reads for ever")
                if chunk is not None:
                    sending.hand_over(chunk)
                    yield http1.piece(chunk.data)
            sending.done("cut")
            if reply.end == "reset":
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            if reply.end != "incomplete":
                yield http1.END
        finally:
            sending.done("closed")

    def _wait(self, sending: Sending, delay_s: float, how: str) -> None:
        if self._timeout_s is not None and delay_s > self._timeout_s:
            self._desk.sleep(self._timeout_s)
            sending.done("timeout")
            raise TimeoutError("timed out")
        if delay_s == NEVER:
            raise hung(sending, f"the client {how}, it has no read timeout")
        if delay_s:
            self._desk.sleep(delay_s)


class _Body(io.RawIOBase):
    """Bytes as they arrive. Nothing is read ahead: a piece is there when it is asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The rest of the last piece, or the next one; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        """The client wants no more of it."""
        if not self.closed:
            self._pieces.close()  # type: ignore[attr-defined]
        super().close()
