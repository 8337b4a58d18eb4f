"""Stand between any httpx or httpx2 client and the network, at the transport, whenever the client was made.

The order is fixed: the author's respx routes, then the script, then loopback goes through, then the guard.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from pytest_agent.errors import UnansweredCall
from pytest_agent.guard import is_loopback, unanswered
from pytest_agent.llm import respx_routes
from pytest_agent.llm.delivery import Sleep, arespond, respond, whole_response
from pytest_agent.llm.model import Delivery, ScriptedModel
from pytest_agent.llm.protocols import codec_for, service_for
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import WireRequest
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
        self._respx = respx_routes.StandAside()
        self._ports: set[int] = set()

    def let_through(self, port: int) -> None:
        """Requests to this port of the machine go to the network: the script answers them there."""
        self._ports.add(port)

    def install(self) -> None:
        """From now on every request of these libraries comes here first."""
        for lib in _libraries():
            self._patch(lib.HTTPTransport, "handle_request", self._sync_handler(lib, lib.HTTPTransport.handle_request))
            self._patch(
                lib.AsyncHTTPTransport,
                "handle_async_request",
                self._async_handler(lib, lib.AsyncHTTPTransport.handle_async_request),
            )
        self._respx.install()

    def uninstall(self) -> None:
        """Restore the transports exactly."""
        self._respx.uninstall()
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
                answer = self._answer(lib, request, transport)
            if isinstance(answer, Delivery):
                return respond(lib, request, answer, self._sleep)
            if answer is not respx_routes.PASS_THROUGH:
                return answer
            with respx_routes.decided():
                return original(transport, request)

        return handle_request

    def _async_handler(self, lib: ModuleType, original: AsyncOriginal) -> AsyncOriginal:
        async def handle_async_request(transport: Any, request: Any) -> Any:
            await request.aread()
            answer = await respx_routes.async_answer(lib, request)
            if answer is None:
                answer = self._answer(lib, request, transport)
            if isinstance(answer, Delivery):
                return await arespond(lib, request, answer)
            if answer is not respx_routes.PASS_THROUGH:
                return answer
            with respx_routes.decided():
                return await original(transport, request)

        return handle_async_request

    def _answer(self, lib: ModuleType, request: Any, transport: Any) -> Any:
        if request.url.port in self._ports and is_loopback(request.url.host):
            return respx_routes.PASS_THROUGH
        codec = codec_for(request.method, request.url.path)
        local = is_loopback(request.url.host) or _speaks_to_a_file(transport)
        service = service_for(request.method, request.url.path)
        if service is not None and (self._model.has_script or not local):
            return whole_response(lib, self._model.serve(service, _wire(request)))
        if codec is None or (local and not self._model.has_script):
            mocked = respx_routes.default_answer(lib, request)
            if mocked is not None:
                return mocked
            if local:
                return respx_routes.PASS_THROUGH
            if codec is None:
                detail = self._nothing_answers(lib, request)
                unanswered(self._trace, detail)
                raise lib.ConnectError(detail, request=request)
        answer = self._model.answer(codec, _wire(request))
        if answer is None:
            raise UnansweredCall([event.detail for event in self._trace.of(Unanswered)][-1])
        return whole_response(lib, answer) if isinstance(answer, Reply) else answer

    def _nothing_answers(self, lib: ModuleType, request: Any) -> str:
        routes = respx_routes.describe_routes()
        near = f" The respx routes are: {'; '.join(routes)}." if routes else ""
        # Without the query and the user: some providers take their key there.
        url = request.url.copy_with(query=None, fragment=None, userinfo=b"")
        return (
            f"{request.method} {url} ({lib.__name__}): no respx route, script or loopback server answers it."
            f"{near} Add a respx route for it; llm.says(...) answers POST "
            ".../chat/completions, .../responses and .../v1/messages"
        )


@functools.cache
def _libraries() -> tuple[ModuleType, ...]:
    # An alias of one for the other, which httpx2 offers, is the same module under two names.
    found = [importlib.import_module(name) for name in LIBRARIES if importlib.util.find_spec(name)]
    return tuple({id(lib): lib for lib in found}.values())


def _wire(request: Any) -> WireRequest:
    url = request.url
    return WireRequest(request.method, url.path, request.headers, request.content, url.query.decode("ascii"))


def _speaks_to_a_file(transport: Any) -> bool:
    return getattr(getattr(transport, "_pool", None), "_uds", None) is not None
