"""No network by surprise: a connection to anywhere but this machine is refused, recorded, and fails the test.

Name resolution is guarded too: on a machine without a network it fails first, with an error an agent may swallow.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import Any

from pytest_agent.trace import Trace, Unanswered

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class NetworkBlocked(ConnectionRefusedError):
    """A connection that nothing in the test answers; a subclass of OSError, as a refused connection is."""


def is_loopback(host: object) -> bool:
    """Whether a host name or address is this machine."""
    if host is None or host == "":
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if text.lower() == "localhost" or text.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


class NetworkGuard:
    """Patches the socket module; `install` and `uninstall` are a pair."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._undo: list[tuple[Any, str, Any]] = []
        self._proxies: dict[str, str] = {}

    def install(self) -> None:
        """Refuse from now on what does not stay on this machine, and take proxies out of the environment."""
        real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex
        real_getaddrinfo = socket.getaddrinfo

        def connect(sock: socket.socket, address: Any) -> None:
            self._check(sock, address)
            real_connect(sock, address)

        def connect_ex(sock: socket.socket, address: Any) -> int:
            self._check(sock, address)
            return real_connect_ex(sock, address)

        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_loopback(host):
                self._refuse(host, port)
            return real_getaddrinfo(host, port, *args, **kwargs)

        self._patch(socket.socket, "connect", connect)
        self._patch(socket.socket, "connect_ex", connect_ex)
        self._patch(socket, "getaddrinfo", getaddrinfo)
        self._proxies = {name: os.environ.pop(name) for name in _PROXIES if name in os.environ}

    def uninstall(self) -> None:
        """Restore the module and the environment exactly."""
        while self._undo:
            owner, name, original = self._undo.pop()
            setattr(owner, name, original)
        os.environ.update(self._proxies)
        self._proxies = {}

    def _patch(self, owner: Any, name: str, replacement: Any) -> None:
        self._undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, replacement)

    def _check(self, sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
            self._refuse(address[0], address[1])

    def _refuse(self, host: Any, port: Any) -> None:
        library = _caller()
        detail = (
            f"connection to {host}:{port} by {library}: nothing in this test answers it. "
            f"If {library} speaks through httpx or httpx2 give it a respx route or llm.says(...); "
            "otherwise point it at a server on 127.0.0.1"
        )
        self._trace.append(Unanswered(detail=detail))
        raise NetworkBlocked(detail)


def _caller() -> str:
    """The library that asked: the nearest frame outside the standard library and this file."""
    frame = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name not in sys.stdlib_module_names and name != "pytest_agent":
            return name
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "the test"
