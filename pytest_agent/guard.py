"""No network by surprise: a connection to anywhere but this machine is refused, recorded, and fails the test.

Name resolution is guarded too: on a machine without a network it fails first, with an error an agent may swallow.
"""

from __future__ import annotations

import errno
import functools
import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from pytest_agent.errors import RunAbort
from pytest_agent.trace import Trace, Unanswered

RUNAWAY = 200
"""Unanswered requests and connections after which a run is ended: an agent that swallows them all never stops."""

_RESOLVERS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr")
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_ABSENT = object()


class NetworkBlocked(ConnectionRefusedError):
    """A connection that nothing in the test answers; a subclass of OSError, as a refused connection is."""


def is_loopback(host: object) -> bool:
    """Whether a host name or address is this machine."""
    if host is None or host in ("", b""):
        return True
    return _is_this_machine(host.decode("ascii", "replace") if isinstance(host, bytes) else str(host))


@functools.lru_cache(maxsize=1024)
def _is_this_machine(text: str) -> bool:
    name = text.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback or inner.is_unspecified)


def unanswered(trace: Trace, detail: str) -> None:
    """Record what nothing answers. Raises RunAbort where that goes on without end."""
    trace.append(Unanswered(detail=detail))
    if sum(1 for _ in trace.of(Unanswered)) > RUNAWAY:
        raise RunAbort("runaway", f"more than {RUNAWAY} requests that nothing answers; the last: {detail}")


class NetworkGuard:
    """Patches the socket module; `install` and `uninstall` are a pair, once for each phase of a test."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._undo: list[tuple[Any, str, Any]] = []
        self._outer: dict[str, str] = {}
        self._inner: dict[str, str] = {}

    def install(self) -> None:
        """Refuse from now on what does not stay on this machine, and take proxies out of the environment.

        A proxy that the test itself sets in the environment is its own: it is kept from phase to phase.
        """
        for name in ("connect", "sendto", "sendmsg"):
            self._patch(socket.socket, name, self._guarded(getattr(socket.socket, name)))
        self._patch(socket.socket, "connect_ex", self._connect_ex(socket.socket.connect_ex))
        for name in _RESOLVERS:
            self._patch(socket, name, self._resolver(getattr(socket, name)))
        self._outer = _take_proxies()
        os.environ.update(self._inner)

    def uninstall(self) -> None:
        """Restore the module and the environment exactly."""
        while self._undo:
            owner, name, original = self._undo.pop()
            if original is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        self._inner = _take_proxies()
        os.environ.update(self._outer)
        self._outer = {}

    def _patch(self, owner: Any, name: str, replacement: Any) -> None:
        # The methods of `socket.socket` are inherited: giving back what was inherited would leave a trace.
        self._undo.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, replacement)

    def _guarded(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def method(sock: socket.socket, *args: Any) -> Any:
            # The address is the last argument of all three, and theirs alone is a tuple.
            foreign = _foreign(sock, args[-1] if args else None)
            if foreign is not None:
                raise self._refused(*foreign)
            return real(sock, *args)

        return method

    def _connect_ex(self, real: Callable[..., int]) -> Callable[..., int]:
        def connect_ex(sock: socket.socket, address: Any) -> int:
            foreign = _foreign(sock, address)
            if foreign is not None:
                self._refused(*foreign)
                return errno.ECONNREFUSED
            return real(sock, address)

        return connect_ex

    def _resolver(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_loopback(host) and host != socket.gethostname():
                raise self._refused(host, args[0] if args else kwargs.get("port"))
            return real(host, *args, **kwargs)

        return resolve

    def _refused(self, host: Any, port: Any) -> NetworkBlocked:
        library = _caller()
        place = host if port is None else f"{host}:{port}"
        detail = (
            f"connection to {place} by {library}: nothing in this test answers it. "
            f"If {library} speaks through httpx or httpx2 give it a respx route or llm.says(...); "
            "otherwise point it at a server on 127.0.0.1"
        )
        unanswered(self._trace, detail)
        return NetworkBlocked(errno.ECONNREFUSED, detail)


def _foreign(sock: socket.socket, address: object) -> tuple[object, object] | None:
    """The host and port of an address on another machine. A malformed address is the real function's to refuse."""
    if sock.family not in _INTERNET or not isinstance(address, tuple) or len(address) < 2:
        return None
    return None if is_loopback(address[0]) else (address[0], address[1])


def _take_proxies() -> dict[str, str]:
    # The cheap question first: this is asked of every variable, twice in each phase.
    likely = [name for name in os.environ if name[-1:] in "yY"]
    names = [name for name in likely if name.lower().endswith("_proxy") and name.lower() != "no_proxy"]
    return {name: os.environ.pop(name) for name in names}


def _caller() -> str:
    """The library that asked: the nearest frame outside the standard library and this package."""
    frame = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name not in sys.stdlib_module_names and name != "pytest_agent":
            return name
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "the test"
