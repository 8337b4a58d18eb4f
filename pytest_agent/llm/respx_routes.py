"""The author's own respx routes, honoured before the script, for httpx and for httpx2 clients alike.

respx knows httpx only. A request of httpx2 is shown to it as one of httpx, and its answer or its exception is given
back in the classes of the client that asked. respx's own patches, below the transport, stand aside meanwhile: they
would ask the routes a second time, and refuse what the script or a local server answers.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

PASS_THROUGH = object()
"""The matching route says that the request is to go to the real network."""

_decided: ContextVar[bool] = ContextVar("pytest_agent_decided", default=False)
_PASSED = "pytest_agent.passed"


@contextmanager
def decided() -> Iterator[None]:
    """What goes to the real transport in this block has been shown to the routes already."""
    token = _decided.set(True)
    try:
        yield
    finally:
        _decided.reset(token)


class StandAside:
    """Keeps respx's own patches from answering twice; `install` and `uninstall` are a pair."""

    def __init__(self) -> None:
        self._patched: list[Any] = []

    def install(self) -> None:
        """Patch the mockers of respx, if it is loaded: it is by its own pytest plugin."""
        for name, mocker in _mockers():
            above = name == "httpx"
            handler, async_handler = mocker.handler, mocker.async_handler
            mocker.handler = staticmethod(_above(handler) if above else _below(handler))
            mocker.async_handler = staticmethod(_async_above(async_handler) if above else _async_below(async_handler))
            self._patched.append(mocker)

    def uninstall(self) -> None:
        """Restore them: both methods are inherited."""
        while self._patched:
            mocker = self._patched.pop()
            del mocker.handler, mocker.async_handler


def describe_routes() -> list[str]:
    """The active routes, for a message that says what came closest."""
    return [str(route.pattern or "any request") for router in _routers() for route in router.routes]


def sync_answer(lib: ModuleType, request: Any) -> Any:
    """The response of the first matching route, PASS_THROUGH, or None where no route matches."""
    if request.extensions.get(_PASSED):
        return PASS_THROUGH
    for router, asked in _matching(lib, request):
        try:
            return _converted(lib, router.handler(asked))
        except Exception as error:  # noqa: BLE001 - a route's side effect may be any exception; it is raised again
            if not _declined(error):
                return _raised(lib, request, error)
    return None


async def async_answer(lib: ModuleType, request: Any) -> Any:
    """As `sync_answer`, for async clients."""
    if request.extensions.get(_PASSED):
        return PASS_THROUGH
    for router, asked in _matching(lib, request):
        try:
            return _converted(lib, await router.async_handler(asked))
        except Exception as error:  # noqa: BLE001 - as above
            if not _declined(error):
                return _raised(lib, request, error)
    return None


def default_answer(lib: ModuleType, request: Any) -> Any:
    """The empty 200 of a router with `assert_all_mocked=False`, or None where there is no such router."""
    for router in _routers(lib):
        if not router._assert_all_mocked:
            return _converted(lib, router.handler(_as_httpx(lib, request)))
    return None


def _mockers() -> list[tuple[str, Any]]:
    mocks = sys.modules.get("respx.mocks")
    return [] if mocks is None else list(mocks.Mocker.registry.items())


def _routers(lib: ModuleType | None = None) -> list[Any]:
    # The mocker called httpx works above the transport of that library: it has asked its routes before.
    done = "httpx" if lib is not None and lib.__name__ == "httpx" else None
    return [router for name, mocker in _mockers() if name != done for router in mocker.routers]


def _fits(router: Any, asked: Any) -> bool:
    # `pattern.match` has no side effect; a route's own `match` would record the call and run its side effects.
    return any(not route.pattern or bool(route.pattern.match(asked)) for route in router.routes)


def _matching(lib: ModuleType, request: Any) -> Iterator[tuple[Any, Any]]:
    routers = _routers(lib)
    if routers:
        asked = _as_httpx(lib, request)
        yield from ((router, asked) for router in routers if _fits(router, asked))


def _as_httpx(lib: ModuleType, request: Any) -> Any:
    import httpx

    if lib is httpx:
        return request
    return httpx.Request(
        request.method,
        str(request.url),
        headers=request.headers.raw,
        content=request.content,
        extensions=dict(request.extensions),
    )


def _declined(error: Exception) -> bool:
    """The pattern fitted and the side effect returned nothing, by which respx means: not mine."""
    from respx.models import AllMockedAssertionError

    return isinstance(error, AllMockedAssertionError)


def _raised(lib: ModuleType, request: Any, error: Exception) -> Any:
    from respx.models import PassThrough

    if isinstance(error, PassThrough):
        return PASS_THROUGH
    own = _twin(lib, error)
    if own is None:
        raise error
    raise own(str(error), request=request) from error


def _twin(lib: ModuleType, error: Exception) -> Any:
    """The class of `lib` for an exception of the other library, or None where it is raised as it is."""
    for kind in type(error).__mro__:
        if kind.__module__.partition(".")[0] in ("httpx", "httpx2"):
            own = getattr(lib, kind.__name__, None)
            fits = isinstance(own, type) and issubclass(own, lib.RequestError) and not isinstance(error, own)
            return own if fits else None
    return None


def _converted(lib: ModuleType, answer: Any) -> Any:
    if isinstance(answer, lib.Response):
        return answer
    body = _other_bodies(lib)(lib, answer.stream)
    return lib.Response(answer.status_code, headers=answer.headers.raw, stream=body, extensions=dict(answer.extensions))


@functools.cache
def _other_bodies(lib: ModuleType) -> Any:
    class Body(lib.SyncByteStream, lib.AsyncByteStream):  # type: ignore[name-defined, misc]
        """The body of the other library's response, as it is on the wire: compressed where it is."""

        def __init__(self, lib: ModuleType, stream: Any) -> None:
            self._lib = lib
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self._stream
            except Exception as error:
                own = _twin(self._lib, error)
                if own is None:
                    raise
                raise own(str(error)) from error

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for piece in self._stream:
                    yield piece
            except Exception as error:
                own = _twin(self._lib, error)
                if own is None:
                    raise
                raise own(str(error)) from error

        def close(self) -> None:
            if hasattr(self._stream, "close"):
                self._stream.close()

        async def aclose(self) -> None:
            if hasattr(self._stream, "aclose"):
                await self._stream.aclose()

    return Body


def _passing(request: Any) -> Exception:
    from respx.models import PassThrough

    return PassThrough("decided at the transport", request=request, origin=None)  # type: ignore[arg-type]


def _below(original: Any) -> Any:
    def handler(request: Any) -> Any:
        if _decided.get():
            raise _passing(request)
        return original(request)

    return handler


def _async_below(original: Any) -> Any:
    async def async_handler(request: Any) -> Any:
        if _decided.get():
            raise _passing(request)
        return await original(request)

    return async_handler


def _above(original: Any) -> Any:
    def handler(request: Any) -> Any:
        try:
            return original(request)
        except Exception as error:
            if _declined(error):
                raise _passing(request) from error
            _note_passing(request, error)
            raise

    return handler


def _async_above(original: Any) -> Any:
    async def async_handler(request: Any) -> Any:
        try:
            return await original(request)
        except Exception as error:
            if _declined(error):
                raise _passing(request) from error
            _note_passing(request, error)
            raise

    return async_handler


def _note_passing(request: Any, error: Exception) -> None:
    from respx.models import PassThrough

    if isinstance(error, PassThrough):
        request.extensions[_PASSED] = True
