"""httpx and httpx2, at their two transport classes: a transport of the author's own is left alone.

What wraps one of theirs, or has an HTTP library below it that is intercepted, ends up here or there all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from pytest_agent.guard import is_loopback
from pytest_agent.llm import respx_routes
from pytest_agent.llm.intercept.desk import Desk, Route, desk_here
from pytest_agent.llm.intercept.httpx_delivery import arespond, respond
from pytest_agent.llm.intercept.slots import TaskSlots, ThreadSlots, no_slot
from pytest_agent.llm.request import WireRequest
from pytest_agent.patches import Patches

Original = Callable[[Any, Any], Any]
AsyncOriginal = Callable[[Any, Any], Awaitable[Any]]


def patch(lib: ModuleType, patches: Patches) -> None:
    """Every request of this library asks the desk of its context first."""
    sync, asynchronous = lib.HTTPTransport, lib.AsyncHTTPTransport
    patches.put(sync, "handle_request", _sync_handler(lib, sync.handle_request))
    patches.put(asynchronous, "handle_async_request", _async_handler(lib, asynchronous.handle_async_request))


def _sync_handler(lib: ModuleType, original: Original) -> Original:
    def handle_request(transport: Any, request: Any) -> Any:
        desk = desk_here()
        if desk is None:
            return original(transport, request)
        request.read()
        answer = respx_routes.sync_answer(lib, request)
        if answer is None:
            path = request.url.path
            route = _route(lib, desk, request, path, transport)
            if callable(route):
                release = _thread_slot(lib, desk, request, transport)
                try:
                    return respond(lib, request, route(_wire(request, path)), desk.sleep, release)
                except BaseException:
                    release()
                    raise
            answer = route
        if answer is not respx_routes.PASS_THROUGH:
            return answer
        with respx_routes.decided():
            return original(transport, request)

    return handle_request


def _async_handler(lib: ModuleType, original: AsyncOriginal) -> AsyncOriginal:
    async def handle_async_request(transport: Any, request: Any) -> Any:
        desk = desk_here()
        if desk is None:
            return await original(transport, request)
        await request.aread()
        answer = await respx_routes.async_answer(lib, request)
        if answer is None:
            path = request.url.path
            route = _route(lib, desk, request, path, transport)
            if callable(route):
                release = await _task_slot(lib, desk, request, transport)
                try:
                    return await arespond(lib, request, route(_wire(request, path)), release)
                except BaseException:
                    release()
                    raise
            answer = route
        if answer is not respx_routes.PASS_THROUGH:
            return answer
        with respx_routes.decided():
            return await original(transport, request)

    return handle_async_request


def _route(lib: ModuleType, desk: Desk, request: Any, path: str, transport: Any) -> Route | Any:
    """Who answers for the model, or a response, or PASS_THROUGH. Raises the library's ConnectError for none of them."""
    url = request.url
    if desk.goes_through(url.host, url.port):
        return respx_routes.PASS_THROUGH
    local = is_loopback(url.host) or _stays_here(transport)
    route = desk.route(request.method, path, local=local)
    if route is not None:
        return route
    mocked = respx_routes.default_answer(lib, request)
    if mocked is not None:
        return mocked
    if local:
        return respx_routes.PASS_THROUGH
    shown = str(url.copy_with(query=None, fragment=None, userinfo=b""))
    detail = desk.nothing_answers(lib.__name__, request.method, shown, respx_routes.describe_routes())
    raise lib.ConnectError(detail, request=request)


@functools.lru_cache(maxsize=500)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _wire(request: Any, path: str) -> WireRequest:
    # The library looks through all headers for each that is asked for, and unquotes the path each time.
    headers = {_lower(name): value.decode("latin-1") for name, value in request.headers.raw}
    return WireRequest(request.method, path, headers, request.content, request.url.query.decode("ascii"))


def _stays_here(transport: Any) -> bool:
    """Whether it speaks to a file, or through a proxy on this machine."""
    pool = getattr(transport, "_pool", None)
    proxy = getattr(pool, "_proxy_url", None)
    return getattr(pool, "_uds", None) is not None or (proxy is not None and is_loopback(proxy.host))


def _thread_slot(lib: ModuleType, desk: Desk, request: Any, transport: Any) -> Callable[[], None]:
    slots = _slots(desk, transport, ThreadSlots)
    if slots is None:
        return no_slot
    slot = slots.take(_pool_timeout(request))
    if slot is None:
        raise lib.PoolTimeout("", request=request)
    taken: Callable[[], None] = slot
    return taken


async def _task_slot(lib: ModuleType, desk: Desk, request: Any, transport: Any) -> Callable[[], None]:
    slots = _slots(desk, transport, TaskSlots)
    if slots is None:
        return no_slot
    slot = await slots.take(_pool_timeout(request))
    if slot is None:
        raise lib.PoolTimeout("", request=request)
    taken: Callable[[], None] = slot
    return taken


def _slots(desk: Desk, transport: Any, kind: Any) -> Any:
    """The connections of a transport's pool in this run; None where nothing bounds them that a test could reach."""
    slots = desk.slots.get(transport)
    if slots is None:
        most = getattr(getattr(transport, "_pool", None), "_max_connections", None)
        if most is None:
            return None
        slots = desk.slots[transport] = kind(most)
    return slots


def _pool_timeout(request: Any) -> float | None:
    timeout_s: float | None = (request.extensions.get("timeout") or {}).get("pool")
    return timeout_s
