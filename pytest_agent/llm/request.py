"""One request to a model, whatever the provider's wire looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_agent.llm.reply import ErrorKind, Reply
from pytest_agent.llm.turn import Turn


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What the agent asked. `messages` is the provider's own JSON; `tools` are the names it declared."""

    codec: Codec
    model: str
    messages: list[dict[str, Any]]
    tools: tuple[str, ...]
    stream: bool
    include_usage: bool
    body_sha256: str
    retry_count: int
    idempotency_key: str | None

    @property
    def last_message(self) -> str:
        """The last message in one line, for error messages."""
        if not self.messages:
            return "(no messages)"
        last = self.messages[-1]
        return f"{last.get('role', '?')}: {str(last.get('content'))[:120]}"


class Codec(Protocol):
    """One provider protocol, both ways."""

    @property
    def name(self) -> str:
        """How messages to users call it."""

    def matches(self, method: str, path: str) -> bool:
        """Whether a request with this method and URL path is of this protocol."""

    def decode(self, body: bytes, headers: Mapping[str, str]) -> ModelRequest:
        """The request. `headers` are asked in lower case. Raises BadRequest for what the provider would refuse."""

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn as this protocol says it, plain or streamed. `n` numbers the reply and makes its ids."""

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after_s: float | None = None) -> Reply:
        """The provider's own status, headers and body for an error."""

    def refuse(self, error: BadRequest) -> Reply:
        """The provider's own 400 for a request it cannot accept."""


class BadRequest(Exception):
    """The request is not one the provider would take. `param` names the field at fault."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
