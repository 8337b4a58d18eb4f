"""aiohttp, at its connectors: a request that is answered gets a connection whose transport is ours.

Everything above is the library itself: its parser, timeouts, limits, redirects, response classes and exceptions.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from pytest_agent.guard import is_loopback
from pytest_agent.llm.intercept.aiohttp_transport import DeliveryTransport
from pytest_agent.llm.intercept.desk import Desk, Route, desk_here
from pytest_agent.patches import Patches

_Coroutine = Callable[..., Awaitable[Any]]

_answered: ContextVar[Route | None] = ContextVar("pytest_agent_answered", default=None)
"""Who answers the request that is getting its connection in this context."""


def patch(lib: ModuleType, patches: Patches) -> None:
    """Every request of this library asks the desk of its context first."""
    base = lib.connector.BaseConnector
    patches.put(base, "connect", _connect(lib, base.connect))
    patches.put(base, "_get", _get(base._get))
    for kind in (lib.connector.TCPConnector, lib.connector.UnixConnector):
        patches.put(kind, "_create_connection", _create_connection(kind._create_connection))


def _connect(lib: ModuleType, original: _Coroutine) -> _Coroutine:
    async def connect(connector: Any, req: Any, *args: Any, **options: Any) -> Any:
        desk = desk_here()
        route = None if desk is None else _route(lib, desk, connector, req)
        token = _answered.set(route)
        try:
            return await original(connector, req, *args, **options)
        finally:
            _answered.reset(token)

    return connect


def _get(original: _Coroutine) -> _Coroutine:
    async def get(connector: Any, *args: Any) -> Any:
        """A connection that is kept alive leads to a real server: not for a request that is answered here."""
        return None if _answered.get() is not None else await original(connector, *args)

    return get


def _create_connection(original: _Coroutine) -> _Coroutine:
    async def create_connection(connector: Any, *args: Any, **options: Any) -> Any:
        route = _answered.get()
        if route is None:
            return await original(connector, *args, **options)
        protocol = connector._factory()
        protocol.connection_made(DeliveryTransport(connector._loop, protocol, route))
        # One connection carries one request: the connector keeps none of ours.
        protocol.force_close()
        return protocol

    return create_connection


def _route(lib: ModuleType, desk: Desk, connector: Any, req: Any) -> Route | None:
    """Who answers, None for what goes through. Raises the library's ClientConnectorError where nobody does."""
    url, proxy = req.url, req.proxy
    if desk.goes_through(url.host, url.port):
        return None
    local = (
        is_loopback(url.host)
        or isinstance(connector, (lib.UnixConnector, lib.NamedPipeConnector))
        or (proxy is not None and is_loopback(proxy.host))
    )
    route = desk.route(req.method, url.path, local=local)
    if route is not None or local:
        return route
    detail = desk.nothing_answers("aiohttp", req.method, f"{url.origin()}{url.raw_path}")
    raise lib.ClientConnectorError(req.connection_key, ConnectionRefusedError(errno.ECONNREFUSED, detail))
