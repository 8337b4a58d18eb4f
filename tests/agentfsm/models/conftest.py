"""Both clients, and the harness's own idea of what each provider sends: what one side writes the other one reads."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from agentfsm.models.anthropic_messages import AnthropicMessages
from agentfsm.models.http_model import HttpModel
from agentfsm.models.openai_chat import OpenAIChat
from agentfsm.turns import Message, ModelRequest, Turn
from pytest_agent.llm.anthropic_messages import AnthropicMessages as AnthropicCodec
from pytest_agent.llm.openai_chat import OpenAIChat as OpenAICodec
from pytest_agent.llm.request import Codec, WireRequest
from pytest_agent.llm.turn import Turn as SaidTurn

EVENTS = {"content-type": "text/event-stream"}


class Pieces(httpx.AsyncByteStream):
    """A body that arrives in these pieces."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = parts

    async def __aiter__(self):
        for part in self.parts:
            yield part


@dataclass
class Provider:
    """One provider: the client under test, the codec of the harness, and every body that was sent."""

    client: type[HttpModel]
    codec: Codec
    model: str
    sent: list[bytes] = field(default_factory=list)

    def ask(self, reply: Callable[[Any], httpx.Response] | httpx.Response, request: Any = None, **options: Any) -> Turn:
        """Send one request and answer it: with a response, or with what a function makes of the decoded request."""

        def answer(got: httpx.Request) -> httpx.Response:
            self.sent.append(got.content)
            decoded = self.codec.decode(WireRequest(got.method, got.url.path, dict(got.headers), got.content))
            return reply(decoded) if callable(reply) else reply

        async def main() -> Turn:
            async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
                made = self.client(client, **{"model": self.model, **options})
                return await made.complete(self.request() if request is None else request)

        return asyncio.run(main())

    def says(self, turn: Any, request: Any = None, **options: Any) -> Turn:
        """Let the codec of the harness say a turn."""
        return self.ask(lambda decoded: self.response(turn, decoded), request, **options)

    def response(self, turn: Any, decoded: Any) -> httpx.Response:
        said = SaidTurn(turn) if isinstance(turn, str) else turn
        reply = self.codec.encode(said, decoded, 1)
        return httpx.Response(200, headers=dict(reply.headers), content=b"".join(c.data for c in reply.chunks))

    def bytes_of(self, turn: Any) -> bytes:
        """Return the whole stream in which the provider says a turn."""
        got: list[bytes] = []

        def answer(decoded: Any) -> httpx.Response:
            response = self.response(turn, decoded)
            got.append(response.content)
            return response

        self.ask(answer)
        return got[0]

    def streams(self, *parts: bytes, **options: Any) -> Turn:
        """Answer with these raw pieces of a stream."""
        return self.ask(httpx.Response(200, headers=EVENTS, stream=Pieces(parts)), **options)

    @staticmethod
    def request(*more: Message, **changes: Any) -> ModelRequest:
        """Return a request with a tool, and what was said after the user's text."""
        tool = {"name": "orders.lookup", "description": "Look up.", "parameters": {"type": "object"}}
        begin = (Message(role="system", text="Be brief."), Message(role="user", text="hi"))
        return ModelRequest(**{"key": "r1:1", "messages": (*begin, *more), "tools": (tool,), **changes})


@pytest.fixture
def openai() -> Provider:
    return Provider(OpenAIChat, OpenAICodec(), "gpt-4o")


@pytest.fixture
def anthropic() -> Provider:
    return Provider(AnthropicMessages, AnthropicCodec(), "claude-opus-4-6")


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.getfixturevalue(request.param)
