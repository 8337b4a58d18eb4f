"""An Anthropic Messages client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from agentfsm.models.anthropic_assembly import MessagesAssembly
from agentfsm.models.http_model import HttpModel
from agentfsm.models.wire import sendable, wire_name
from agentfsm.turns import Message, ModelRequest

VERSION = "2023-06-01"
MOST_TOKENS = 4096
"""What `max_tokens`, which this API demands, is where nothing else is said."""


class AnthropicMessages(HttpModel):
    """Talks to `{base_url}/v1/messages`; see `HttpModel` for the arguments.

    A turn is complete with its stop reason and, streamed, with `message_stop`. `end_turn`, `stop_sequence` and
    `pause_turn` are an end, `tool_use` asks for calls, `max_tokens` and `model_context_window_exceeded` cut the turn
    so that none of its calls may run; `refusal` raises ModelError for good; a reason that nobody knows is no end.
    """

    provider: ClassVar[str] = "anthropic"
    base: ClassVar[str] = "https://api.anthropic.com"
    path: ClassVar[str] = "/v1/messages"

    def headers(self) -> dict[str, str]:
        """Return key and version."""
        key = {"x-api-key": self._api_key} if self._api_key else {}
        return {"anthropic-version": VERSION, **key}

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the request body."""
        system = "\n\n".join(m.text for m in request.messages if m.role == "system")
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": self._parameters.get("max_tokens") or MOST_TOKENS,
            "messages": _messages([m for m in request.messages if m.role != "system"]),
        }
        if system:
            body["system"] = system
        if (temperature := self._parameters.get("temperature")) is not None:
            body["temperature"] = temperature
        if request.tools:
            body["tools"] = [
                {
                    "name": wire_name(tool["name"]),
                    "description": tool["description"],
                    "input_schema": tool["parameters"],
                }
                for tool in request.tools
            ]
        if request.answer is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": request.answer}}
        if self._stream:
            body["stream"] = True
        return body

    def assembly(self) -> MessagesAssembly:
        """Return what gathers a reply."""
        return MessagesAssembly()


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return turns that alternate: what one side says in a row is one turn, results of tools come first in it."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role, blocks = _blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return turns


def _blocks(message: Message) -> tuple[str, list[dict[str, Any]]]:
    if message.role == "tool":
        return "user", [{"type": "tool_result", "tool_use_id": message.call_id, "content": message.text}]
    # An empty or blank text block is refused by the provider.
    text = [{"type": "text", "text": message.text}] if message.text.strip() else []
    calls = [
        {
            "type": "tool_use",
            "id": call.id,
            "name": wire_name(call.name),
            "input": json.loads(sendable(call.arguments)),
        }
        for call in message.calls
    ]
    return message.role, [*text, *calls]
