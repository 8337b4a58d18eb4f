"""One request to a model, whatever the provider's wire looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from pytest_agent.llm.reply import ErrorKind, Reply, RetryAfter
from pytest_agent.llm.turn import ToolCall, Turn


class WireRequest(NamedTuple):
    """One HTTP request as it arrived. `path` has no query; `headers` are asked in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the history, whatever the provider's wire looks like.

    `calls` are those an assistant made; `call_id` and `name` say which call the result of a tool answers.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class ModelRequest:
    """What the agent asked. `messages` is the provider's own JSON; `tools` are the names it declared.

    `data` is the whole body; `conversation` tells agents apart that ask at the same time, "" where nothing does.
    """

    codec: Codec
    model: str
    messages: list[dict[str, Any]]
    tools: tuple[str, ...]
    stream: bool
    include_usage: bool
    body_sha256: str
    retry_count: int
    idempotency_key: str | None
    data: dict[str, Any]
    conversation: str = ""

    @cached_property
    def history(self) -> tuple[Message, ...]:
        """The messages in the words of no provider, system prompts included, in order."""
        return self.codec.history(self.data)

    @cached_property
    def counted(self) -> dict[Turn, Turn]:
        """Turns that were said to this request, each with its usage: `wire.counted` fills it."""
        return {}

    @cached_property
    def guessed_tokens(self) -> int:
        """An estimate of the input's tokens, four characters each, as providers document it."""
        from pytest_agent.llm.wire import dump  # which needs this module

        return max(1, len(dump(self.messages)) // 4)

    @property
    def last_message(self) -> str:
        """The last message in one line, for error messages."""
        if not self.messages:
            return "(no messages)"
        last = self.messages[-1]
        # An item of OpenAI Responses need be no message: a call, or its output.
        said = last.get("content", last.get("parts", last.get("output")))
        return f"{last.get('role') or last.get('type', '?')}: {str(said)[:120]}"


class Codec(Protocol):
    """One provider protocol, both ways."""

    @property
    def name(self) -> str:
        """How messages to users call it."""

    def matches(self, method: str, path: str) -> bool:
        """Whether a request with this method and URL path is of this protocol."""

    def decode(self, wire: WireRequest) -> ModelRequest:
        """The request. Raises BadRequest for what the provider would refuse."""

    def history(self, data: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages of a body that `decode` took."""

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn as this protocol says it, plain or streamed. `n` numbers the reply and makes its ids."""

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """The provider's own status, headers and body for an error."""

    def refuse(self, error: BadRequest) -> Reply:
        """The provider's own 400 for a request it cannot accept."""


class Service(Protocol):
    """A route of a provider that needs no script: the list of models, embeddings, counting tokens."""

    @property
    def name(self) -> str:
        """How messages to users call it."""

    def matches(self, method: str, path: str) -> bool:
        """Whether a request with this method and URL path is for it."""

    def answer(self, wire: WireRequest) -> Reply:
        """The reply; the same for the same request. A request the provider would refuse gets its own 400."""


class BadRequest(Exception):
    """The request is not one the provider would take. `param` names the field at fault.

    `about` is `history` where the messages could never be sent as they are, whatever else the request says.
    """

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        about: Literal["history", "request"] = "request",
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.about = about
