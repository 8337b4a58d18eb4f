"""Stand between any httpx or httpx2 client and the network, at the transport, whenever the client was made.

The order is fixed: the author's respx routes, then the script, then loopback goes through, then the guard.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from pytest_agent.errors import UnansweredCall
from pytest_agent.guard import is_loopback
from pytest_agent.llm import respx_routes
from pytest_agent.llm.delivery import Sleep, response
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.reply import Reply
from pytest_agent.trace import Trace, Unanswered

LIBRARIES = ("httpx", "httpx2")

Original = Callable[[Any, Any], Any]
AsyncOriginal = Callable[[Any, Any], Awaitable[Any]]


class HttpIntercept:
    """Patches the two transport classes of each library; `install` and `uninstall` are a pair."""

    def __init__(self, model: ScriptedModel, trace: Trace, sleep: Sleep) -> None:
        self._model = model
        self._trace = trace
        self._sleep = sleep
        self._undo: list[tuple[type[Any], str, object]] = []

    def install(self) -> None:
        """From now on every request of these libraries comes here first."""
        for lib in (importlib.import_module(name) for name in LIBRARIES if importlib.util.find_spec(name)):
            self._patch(lib.HTTPTransport, "handle_request", self._sync_handler(lib, lib.HTTPTransport.handle_request))
            self._patch(
                lib.AsyncHTTPTransport,
                "handle_async_request",
                self._async_handler(lib, lib.AsyncHTTPTransport.handle_async_request),
            )

    def uninstall(self) -> None:
        """Restore the transports exactly."""
        while self._undo:
            owner, name, original = self._undo.pop()
            setattr(owner, name, original)

    def _patch(self, owner: type[Any], name: str, replacement: object) -> None:
        self._undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, replacement)

    def _sync_handler(self, lib: ModuleType, original: Original) -> Original:
        def handle_request(transport: Any, request: Any) -> Any:
            request.read()
            answer = respx_routes.sync_answer(lib, request)
            if answer is None:
                answer = self._answer(lib, request, sync=True)
            return original(transport, request) if answer is respx_routes.PASS_THROUGH else answer

        return handle_request

    def _async_handler(self, lib: ModuleType, original: AsyncOriginal) -> AsyncOriginal:
        async def handle_async_request(transport: Any, request: Any) -> Any:
            await request.aread()
            answer = await respx_routes.async_answer(lib, request)
            if answer is None:
                answer = self._answer(lib, request, sync=False)
            return await original(transport, request) if answer is respx_routes.PASS_THROUGH else answer

        return handle_async_request

    def _answer(self, lib: ModuleType, request: Any, *, sync: bool) -> Any:
        codec = self._model.codec_for(request.method, request.url.path)
        if codec is None:
            if is_loopback(request.url.host):
                return respx_routes.PASS_THROUGH
            detail = self._nothing_answers(lib, request)
            self._trace.append(Unanswered(detail=detail))
            raise lib.ConnectError(detail, request=request)
        answer = self._model.answer(codec, request.content, dict(request.headers))
        if answer is None:
            raise UnansweredCall([event.detail for event in self._trace.of(Unanswered)][-1])
        if isinstance(answer, Reply):
            return lib.Response(answer.status, headers=list(answer.headers), content=answer.chunks[0].data)
        return response(lib, request, answer, self._sleep, sync=sync)

    def _nothing_answers(self, lib: ModuleType, request: Any) -> str:
        routes = respx_routes.describe_routes()
        near = f" The respx routes are: {'; '.join(routes)}." if routes else ""
        return (
            f"{request.method} {request.url} ({lib.__name__}): no respx route, script or loopback server answers it."
            f"{near} Add a respx route for it; llm.says(...) answers POST .../chat/completions"
        )
