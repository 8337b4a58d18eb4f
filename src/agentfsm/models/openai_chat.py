"""An OpenAI-compatible Chat Completions client. One call is one wire attempt; it never repeats by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx

from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.models import failures, sse
from agentfsm.models.assembly import Assembly
from agentfsm.models.wire import body_of, own_names
from agentfsm.turns import ModelRequest, Turn


class OpenAIChat:
    """Talks to `{base_url}/chat/completions`.

    `first_event_s` bounds the wait for the first event that carries something, `idle_s` the wait between two
    of them: a keep-alive does not count as life. The client stays the caller's to close.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        model: str,
        base_url: str = "https://api.openai.com/v1",
        api_key: str = "",
        stream: bool = True,
        first_event_s: float = 20.0,
        idle_s: float = 10.0,
    ) -> None:
        self._client = client
        self._model = model
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._stream = stream
        self._first_event_s = first_event_s
        self._idle_s = idle_s

    async def complete(self, request: ModelRequest) -> Turn:
        """Return a complete turn, or raise ModelError; of a reply that broke off nothing is kept."""
        body = body_of(request, self._model, stream=self._stream)
        headers = {**self._headers, "Idempotency-Key": request.key}
        guard = asyncio.timeout(self._first_event_s)
        try:
            async with (
                guard,
                self._client.stream("POST", self._url, json=body, headers=headers, timeout=None) as response,
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
            raise failures.from_response(response.status_code, response.headers, body)
        if not isinstance(body, Mapping):
            raise ModelError(f"200 with {kind or 'no content type'}", code="bad_response", transient=True)
        return _add(Assembly(), body)[0].turn()

    async def _read_stream(self, response: httpx.Response, guard: asyncio.Timeout) -> Turn:
        assembly = Assembly()
        async for event in sse.data(response.aiter_bytes()):
            if event.strip() == "[DONE]":
                break
            chunk = _parse(event.encode("utf-8", "surrogatepass"))
            if not isinstance(chunk, Mapping):
                raise IncompleteTurn("an event is no JSON object", code="broken_stream", transient=True)
            if _add(assembly, chunk)[1]:
                guard.reschedule(asyncio.get_running_loop().time() + self._idle_s)
        return assembly.turn()


def _add(assembly: Assembly, chunk: Mapping[str, Any]) -> tuple[Assembly, bool]:
    if chunk.get("error"):
        raise failures.from_body(chunk["error"])
    try:
        return assembly, assembly.add(chunk)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise ModelError(f"reply of an unknown shape: {error}", code="bad_response", transient=True) from error


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
