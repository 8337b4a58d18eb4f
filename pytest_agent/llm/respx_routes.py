"""The author's own respx routes, honoured before the script, for httpx and for httpx2 clients alike.

respx knows httpx only. A request of httpx2 is shown to it as one of httpx, and its answer or its exception is given
back in the classes of the client that asked.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

PASS_THROUGH = object()
"""The matching route says that the request is to go to the real network."""


def describe_routes() -> list[str]:
    """The active routes, for a message that says what came closest."""
    return [str(route.pattern) for router in _routers() for route in router.routes]


def sync_answer(lib: ModuleType, request: Any) -> Any:
    """The response of the first matching route, PASS_THROUGH, or None where no route matches."""
    found = _match(lib, request)
    if found is None:
        return None
    router, asked = found
    try:
        answer = router.handler(asked)
    except Exception as error:  # noqa: BLE001 - a route's side effect may be any exception; it is raised again
        return _raised(lib, request, error)
    return _converted(lib, answer)


async def async_answer(lib: ModuleType, request: Any) -> Any:
    """As `sync_answer`, for async clients."""
    found = _match(lib, request)
    if found is None:
        return None
    router, asked = found
    try:
        answer = await router.async_handler(asked)
    except Exception as error:  # noqa: BLE001 - as above
        return _raised(lib, request, error)
    return _converted(lib, answer)


def _routers() -> list[Any]:
    mocks = sys.modules.get("respx.mocks")
    if mocks is None:
        return []
    return [router for mocker in mocks.Mocker.registry.values() for router in mocker.routers]


def _match(lib: ModuleType, request: Any) -> tuple[Any, Any] | None:
    routers = _routers()
    if not routers:
        return None
    import httpx

    asked = request
    if lib is not httpx:
        asked = httpx.Request(request.method, str(request.url), headers=request.headers.raw, content=request.content)
    for router in routers:
        # `pattern.match` has no side effect; a route's own `match` would record the call and run its side effects.
        if any(route.pattern is not None and route.pattern.match(asked) for route in router.routes):
            return router, asked
    return None


def _raised(lib: ModuleType, request: Any, error: Exception) -> Any:
    from respx.models import PassThrough

    if isinstance(error, PassThrough):
        return PASS_THROUGH
    own: Any = getattr(lib, type(error).__name__, None)
    if isinstance(own, type) and issubclass(own, Exception) and not isinstance(error, own):
        raise own(str(error), request=request) from error
    raise error


def _converted(lib: ModuleType, answer: Any) -> Any:
    if isinstance(answer, lib.Response):
        return answer
    return lib.Response(answer.status_code, headers=answer.headers.raw, content=answer.content)
