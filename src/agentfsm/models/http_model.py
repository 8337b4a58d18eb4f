"""What the clients of all providers share: one wire attempt, its guards, and how a reply is taken in.

One call is one wire attempt; it never repeats by itself. Of a reply that broke off nothing is kept.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import httpx

from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.models import failures, sse
from agentfsm.models.parameters import Parameters
from agentfsm.models.replies import Assembly, add, bounded, parse, turn_of
from agentfsm.models.wire import Names, encode
from agentfsm.turns import ModelRequest, Turn


class HttpModel(ABC):
    """A model behind HTTP.

    `first_event_s` bounds the wait for the first event that carries something, `idle_s` the wait between two of them:
    a keep-alive or a ping does not count as life. A model that thinks without showing it sends nothing else meanwhile:
    give it a `first_event_s` that is enough for that. `temperature` and `max_tokens` are sent where they are given and
    the model takes them (None: not); one that refuses a parameter is not sent it again, and the attempt that taught it
    fails as transient with the code `unsupported_parameter`. The client stays the caller's to close.
    """

    provider: ClassVar[str]
    base: ClassVar[str]
    path: ClassVar[str]
    optional: ClassVar[frozenset[str]]
    """Wire names of parameters that can be left out, or said in another way, where the model refuses them."""

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
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._parameters = Parameters(model)

    @property
    def name(self) -> str:
        """Provider and model, as in records and prices: `openai/gpt-5`."""
        return f"{self.provider}/{self._model}"

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain data, without the key; `refused` are the parameters that are not sent."""
        url = httpx.URL(self._url)
        return {
            "name": self.name,
            "url": str(url.copy_with(userinfo=b"", query=None)),
            "stream": self._stream,
            "first_event_s": self._first_event_s,
            "idle_s": self._idle_s,
            "temperature": self._temperature,
            "max_tokens": self._max_tokens,
            "refused": sorted(self._parameters.refused),
        }

    @abstractmethod
    def headers(self) -> dict[str, str]:
        """Return what says who asks."""

    @abstractmethod
    def body(self, request: ModelRequest, names: Names) -> dict[str, Any]:
        """Return the request body; the same request gives the same body."""

    @abstractmethod
    def assembly(self) -> Assembly:
        """Return what gathers a reply."""

    async def complete(self, request: ModelRequest) -> Turn:
        """Return a complete turn, or raise ModelError; of a reply that broke off nothing is kept."""
        names = Names(request.tools)
        body = self.body(request, names)
        headers = {**self.headers(), "Content-Type": "application/json", "Idempotency-Key": request.key}
        guard = asyncio.timeout(self._first_event_s)
        try:
            async with (
                guard,
                self._client.stream("POST", self._url, content=encode(body), headers=headers, timeout=None) as response,
            ):
                turn = await self._read(response, guard, body)
        except httpx.HTTPError as error:
            raise failures.from_transport(error) from error
        except UnicodeDecodeError as error:
            raise IncompleteTurn("the stream is no UTF-8", code="broken_stream", transient=True) from error
        except TimeoutError as error:
            if not guard.expired():
                raise
            raise ModelError("the model fell silent", code="silent", transient=True) from error
        return names.ours(turn)

    async def _read(self, response: httpx.Response, guard: asyncio.Timeout, sent: Mapping[str, Any]) -> Turn:
        kind = response.headers.get("content-type", "")
        streamed = "event-stream" in kind or (self._stream and "json" not in kind and "html" not in kind)
        if response.status_code == 200 and streamed:
            return await self._read_stream(response, guard)
        body = parse(b"".join([chunk async for chunk in bounded(response)]))
        if response.status_code != 200:
            raise self._refused(response, body, sent)
        if not isinstance(body, Mapping):
            raise ModelError(f"200 with {kind or 'no content type'}", code="bad_response", transient=True)
        assembly = self.assembly()
        add(assembly, body)
        return turn_of(assembly)

    def _refused(self, response: httpx.Response, body: Any, sent: Mapping[str, Any]) -> ModelError:
        status = response.status_code
        name = self._parameters.learn(body, sent, self.optional) if status == 400 else None
        if name is None:
            return failures.from_response(status, response.headers, body)
        said = f"{self.name} does not take {name!r}, which is left out from now on"
        return ModelError(said, code="unsupported_parameter", transient=True, status=status)

    async def _read_stream(self, response: httpx.Response, guard: asyncio.Timeout) -> Turn:
        assembly = self.assembly()
        async for event in sse.data(bounded(response)):
            if event.strip() == "[DONE]":
                break
            part = parse(event.encode("utf-8", "surrogatepass"))
            if not isinstance(part, Mapping):
                raise IncompleteTurn("an event is no JSON object", code="broken_stream", transient=True)
            if add(assembly, part):
                guard.reschedule(asyncio.get_running_loop().time() + self._idle_s)
            if assembly.over:
                break
        return turn_of(assembly)
