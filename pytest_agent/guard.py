"""No network by surprise: a connection to anywhere but this machine is refused, recorded, and fails the test.

Name resolution is guarded too: on a machine without a network it fails first, with an error an agent may swallow.
"""

from __future__ import annotations

import errno
import os
import socket
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_agent.errors import RunAbort
from pytest_agent.loopback import grpc_place
from pytest_agent.loopback import is_loopback as is_loopback
from pytest_agent.patches import OnImport, Patches
from pytest_agent.trace import Trace, Unanswered
from pytest_agent.whose import Ambiguous, Whose, calling_library

RUNAWAY = 200
"""Unanswered requests and connections after which a run is ended: an agent that swallows them all never stops."""

_RESOLVERS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr")
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_INTERCEPTED = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "urllib3", "requests"})


class NetworkBlocked(ConnectionRefusedError):
    """A connection that nothing in the test answers; a subclass of OSError, as a refused connection is."""


def unanswered(trace: Trace, detail: str) -> None:
    """Record what nothing answers. Raises RunAbort where that goes on without end."""
    trace.append(Unanswered(detail=detail))
    if sum(1 for _ in trace.of(Unanswered)) > RUNAWAY:
        raise RunAbort("runaway", f"more than {RUNAWAY} requests that nothing answers; the last: {detail}")


class NetworkGuard:
    """Guards the calls of its context; `install` and `uninstall` are a pair, once for each phase of a test."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._outer: dict[str, str] = {}
        self._inner: dict[str, str] = {}

    def install(self) -> None:
        """Refuse from now on what does not stay on this machine, and take proxies out of the environment.

        A proxy that the test itself sets in the environment is its own: it is kept from phase to phase.
        """
        _PROCESS.open()
        _GUARDS.enter(self)
        self._outer = _take_proxies()
        os.environ.update(self._inner)

    def uninstall(self) -> None:
        """Restore the environment exactly, and the modules, unless another guard is installed."""
        _GUARDS.leave(self)
        _PROCESS.close()
        self._inner = _take_proxies()
        os.environ.update(self._outer)
        self._outer = {}

    def tell(self, detail: str) -> None:
        """Record what nothing answers."""
        unanswered(self._trace, detail)


_GUARDS: Whose[NetworkGuard] = Whose("pytest_agent_guard")


class _Process:
    """What is patched in this process while at least one guard is installed."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._grpc = OnImport(dict.fromkeys(("grpc._channel", "grpc.aio._channel"), self._guard_grpc))
        self._opened = 0

    def open(self) -> None:
        self._opened += 1
        if self._opened > 1:
            return
        put = self._patches.put
        for name in ("connect", "sendto", "sendmsg"):
            put(socket.socket, name, _guarded(getattr(socket.socket, name)))
        put(socket.socket, "connect_ex", _connect_ex(socket.socket.connect_ex))
        for name in _RESOLVERS:
            put(socket, name, _resolver(getattr(socket, name)))
        put(BaseEventLoop, "getaddrinfo", _loop_resolver(BaseEventLoop.getaddrinfo))
        self._grpc.install()

    def close(self) -> None:
        self._opened -= 1
        if not self._opened:
            self._grpc.uninstall()
            self._patches.undo()

    def _guard_grpc(self, module: ModuleType) -> None:
        self._patches.put(module.Channel, "__init__", _channel(module.Channel.__init__))


_PROCESS = _Process()


def _guarded(real: Callable[..., Any]) -> Callable[..., Any]:
    def method(sock: socket.socket, *args: Any) -> Any:
        # The address is the last argument of all three, and theirs alone is a tuple.
        foreign = _foreign(sock, args[-1] if args else None)
        refused = None if foreign is None else _refused(*foreign)
        if refused is not None:
            raise refused
        return real(sock, *args)

    return method


def _connect_ex(real: Callable[..., int]) -> Callable[..., int]:
    def connect_ex(sock: socket.socket, address: Any) -> int:
        foreign = _foreign(sock, address)
        if foreign is not None and _refused(*foreign) is not None:
            return errno.ECONNREFUSED
        return real(sock, address)

    return connect_ex


def _resolver(real: Callable[..., Any]) -> Callable[..., Any]:
    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_known(host):
            refused = _refused(host, args[0] if args else kwargs.get("port"))
            if refused is not None:
                raise refused
        return real(host, *args, **kwargs)

    return resolve


def _loop_resolver(real: Callable[..., Any]) -> Callable[..., Any]:
    async def getaddrinfo(loop: Any, host: Any, port: Any, **kwargs: Any) -> Any:
        # Here it can still be seen who asks; in the thread that the loop asks in it cannot.
        refused = None if _is_known(host) else _refused(host, port)
        if refused is not None:
            raise refused
        return await real(loop, host, port, **kwargs)

    return getaddrinfo


def _channel(real: Callable[..., None]) -> Callable[..., None]:
    """gRPC opens its sockets below Python, where nobody can stand in between: its channels are refused instead."""

    def init(channel: Any, target: Any, *args: Any, **kwargs: Any) -> None:
        host, port = grpc_place(target)
        refused = None if _is_known(host) else _refused(host, port)
        if refused is not None:
            raise refused
        real(channel, target, *args, **kwargs)

    return init


def _refused(host: Any, port: Any) -> NetworkBlocked | None:
    """Record that the connection is refused, and what to raise; None where no guard is installed."""
    place = host if port is None else f"{host}:{port}"
    try:
        guard = _GUARDS.current()
    except Ambiguous as error:
        detail = f"connection to {place} by {calling_library()}: {error}"
        for candidate in error.candidates:
            if isinstance(candidate, NetworkGuard):
                candidate.tell(detail)
        return NetworkBlocked(errno.ECONNREFUSED, detail)
    if guard is None:
        return None
    library = calling_library()
    detail = f"connection to {place} by {library}: nothing in this test answers it. {_advice(library)}"
    guard.tell(detail)
    return NetworkBlocked(errno.ECONNREFUSED, detail)


def _advice(library: str) -> str:
    if library in _INTERCEPTED:
        return (
            f"What {library} asks over HTTP is answered by llm.says(...), by respx routes, or by a server on 127.0.0.1"
        )
    return (
        f"{library} is not intercepted in process: for a model point it to the fixture llm_server (llm_server.url), "
        "for anything else to a server on 127.0.0.1"
    )


def _is_known(host: object) -> bool:
    return is_loopback(host) or host == socket.gethostname()


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
