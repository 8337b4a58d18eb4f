"""What the clients of all providers share: one wire attempt, its guards, and how a reply is taken in.

One call is one wire attempt; it never repeats by itself. Of a reply that broke off nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import httpx

from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.models import failures, sse
from agentfsm.models.parameters import Parameters
from agentfsm.models.wire import own_names
from agentfsm.turns import ModelRequest, Turn


class Assembly(Protocol):
    """Gathers one reply."""

    @property
    def over(self) -> bool:
        """Whether the terminal marker was seen: nothing after it is read."""

    def add(self, part: Mapping[str, Any]) -> bool:
        """Take an event of the stream, or a whole body, in; return whether it carried anything."""

    def turn(self) -> Turn:
        """Return the complete turn; raise IncompleteTurn, or ModelError where the provider stopped it."""


class HttpModel:
    """A model behind HTTP.

    `first_event_s` bounds the wait for the first event that carries something, `idle_s` the wait between two of them:
    a keep-alive or a ping does not count as life. `temperature` and `max_tokens` are sent where they are given and the
    model takes them; one that refuses a parameter is not sent it again. The client stays the caller's to close.
    """

    provider: ClassVar[str]
    base: ClassVar[str]
    path: ClassVar[str]

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        model: str,
        base_url: str = "",
        api_key: str = "",
        stream: bool = True,
        first_event_s: float = 20.0,
        idle_s: float = 10.0,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._client = client
        self._model = model
        self._url = (base_url or self.base).rstrip("/") + self.path
        self._api_key = api_key
        self._stream = stream
        self._first_event_s = first_event_s
        self._idle_s = idle_s
        self._parameters = Parameters(model, temperature=temperature, max_tokens=max_tokens)

    @property
    def name(self) -> str:
        """Provider and model, as in records and prices: `openai/gpt-5`."""
        return f"{self.provider}/{self._model}"

    def headers(self) -> dict[str, str]:
        """Return what says who asks."""
        raise NotImplementedError

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the request body; the same request gives the same bytes."""
        raise NotImplementedError

    def assembly(self) -> Assembly:
        """Return what gathers a reply."""
        raise NotImplementedError

    async def complete(self, request: ModelRequest) -> Turn:
        """Return a complete turn, or raise ModelError; of a reply that broke off nothing is kept."""
        headers = {**self.headers(), "Idempotency-Key": request.key}
        guard = asyncio.timeout(self._first_event_s)
        try:
            async with (
                guard,
                self._client.stream(
                    "POST", self._url, json=self.body(request), headers=headers, timeout=None
                ) as response,
            ):
                turn = await self._read(response, guard)
        except httpx.HTTPError as error:
            raise failures.from_transport(error) from error
        except UnicodeDecodeError as error:
            raise IncompleteTurn("the stream is no UTF-8", code="broken_stream", transient=True) from error
        except TimeoutError as error:
            if not guard.expired():
                raise
            raise ModelError("the model fell silent", code="silent", transient=True) from error
        return own_names(turn, request)

    async def _read(self, response: httpx.Response, guard: asyncio.Timeout) -> Turn:
        kind = response.headers.get("content-type", "")
        streamed = "event-stream" in kind or (self._stream and "json" not in kind and "html" not in kind)
        if response.status_code == 200 and streamed:
            return await self._read_stream(response, guard)
        body = _parse(await response.aread())
        if response.status_code != 200:
            if self._parameters.learn(response.status_code, body):
                raise ModelError("a parameter is not for this model", code="unsupported_parameter", transient=True)
            raise failures.from_response(response.status_code, response.headers, body)
        if not isinstance(body, Mapping):
            raise ModelError(f"200 with {kind or 'no content type'}", code="bad_response", transient=True)
        assembly = self.assembly()
        _add(assembly, body)
        return assembly.turn()

    async def _read_stream(self, response: httpx.Response, guard: asyncio.Timeout) -> Turn:
        assembly = self.assembly()
        async for event in sse.data(response.aiter_bytes()):
            if event.strip() == "[DONE]":
                break
            part = _parse(event.encode("utf-8", "surrogatepass"))
            if not isinstance(part, Mapping):
                raise IncompleteTurn("an event is no JSON object", code="broken_stream", transient=True)
            if _add(assembly, part):
                guard.reschedule(asyncio.get_running_loop().time() + self._idle_s)
            if assembly.over:
                break
        return assembly.turn()


def _add(assembly: Assembly, part: Mapping[str, Any]) -> bool:
    if part.get("error"):
        raise failures.from_body(part["error"])
    try:
        return assembly.add(part)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise ModelError(f"reply of an unknown shape: {error}", code="bad_response", transient=True) from error


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
