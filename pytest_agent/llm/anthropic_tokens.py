"""Anthropic's route that counts the tokens of a request before it is sent."""

from __future__ import annotations

from pytest_agent.llm.anthropic_errors import JSON
from pytest_agent.llm.anthropic_messages import AnthropicMessages
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import BadRequest, WireRequest
from pytest_agent.llm.turn import Turn
from pytest_agent.llm.wire import dump, usage_of


class AnthropicTokens:
    """POST /v1/messages/count_tokens. The count is the input that a turn of no given usage is billed with."""

    name = "Anthropic token counting"

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /v1/messages/count_tokens, on any host."""
        return method == "POST" and path.rstrip("/").endswith("/v1/messages/count_tokens")

    def answer(self, wire: WireRequest) -> Reply:
        """The count, or the 400 that the request itself would get."""
        codec = AnthropicMessages()
        try:
            request = codec.read(wire, ("model", "messages"))
        except BadRequest as error:
            return codec.refuse(error)
        body = dump({"input_tokens": usage_of(Turn(), request).input_tokens})
        return Reply(200, (JSON, ("request-id", "req_count")), (Chunk(body),))
