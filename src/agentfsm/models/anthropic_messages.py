"""An Anthropic Messages client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from agentfsm.models.anthropic_assembly import MessagesAssembly
from agentfsm.models.history import paired
from agentfsm.models.http_model import HttpModel
from agentfsm.models.structured import closed, instructed
from agentfsm.models.wire import Names, as_object
from agentfsm.turns import Message, ModelRequest

VERSION = "2023-06-01"
MOST_TOKENS = 16_000
"""What `max_tokens`, which this API demands, is where nothing else is said. Thinking counts too."""


class AnthropicMessages(HttpModel):
    """Talks to `{base_url}/v1/messages`; see `HttpModel` for the arguments.

    A turn is complete with its stop reason and, streamed, with `message_stop`:

    - `end_turn`, `stop_sequence`, `tool_use` are an end;
    - `max_tokens`, `model_context_window_exceeded` and `pause_turn`, with which a provider breaks off a long turn that
      it wants back, give a turn that was cut, none of whose calls may run;
    - `refusal` raises ModelError for good;
    - none, one that nobody knows, and `tool_use` without a call are no end: IncompleteTurn.

    Thinking is no part of the text. It is kept as it came (`Turn.opaque`) and sent back to the same model alone, which
    may refuse a conversation in which it was changed.
    """

    provider: ClassVar[str] = "anthropic"
    base: ClassVar[str] = "https://api.anthropic.com"
    path: ClassVar[str] = "/v1/messages"
    optional: ClassVar[frozenset[str]] = frozenset({"temperature", "output_config"})

    def headers(self) -> dict[str, str]:
        """Return key and version."""
        key = {"x-api-key": self._api_key} if self._api_key else {}
        return {"anthropic-version": VERSION, **key}

    def body(self, request: ModelRequest, names: Names) -> dict[str, Any]:
        """Return the request body."""
        schema = None if request.answer is None else closed(request.answer)
        if request.answer is not None and (schema is None or not self._parameters.taken("output_config")):
            request, schema = instructed(request), None
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": self._max_tokens or MOST_TOKENS,
            "messages": self._turns([m for m in paired(request.messages) if m.role != "system"], names),
        }
        if system := "\n\n".join(m.text for m in request.messages if m.role == "system" and m.text.strip()):
            body["system"] = system
        if self._temperature is not None and self._parameters.taken("temperature"):
            body["temperature"] = self._temperature
        if request.tools:
            body["tools"] = [
                {
                    "name": names.sent(tool["name"]),
                    "description": tool["description"],
                    "input_schema": tool["parameters"],
                }
                for tool in request.tools
            ]
        if schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if self._stream:
            body["stream"] = True
        return body

    def assembly(self) -> MessagesAssembly:
        """Return what gathers a reply."""
        return MessagesAssembly(self.name)

    def _turns(self, messages: Sequence[Message], names: Names) -> list[dict[str, Any]]:
        """Return turns that alternate: what one side says in a row is one turn."""
        turns: list[dict[str, Any]] = []
        for message in messages:
            role = "assistant" if message.role == "assistant" else "user"
            blocks = self._blocks(message, names)
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            elif blocks:
                turns.append({"role": role, "content": blocks})
        return turns

    def _blocks(self, message: Message, names: Names) -> list[dict[str, Any]]:
        if message.role == "tool":
            return [{"type": "tool_result", "tool_use_id": message.call_id, "content": message.text}]
        text = message.text
        if message.role == "user" and not text.strip():
            text = "(empty)"  # the provider refuses blank text, and a conversation that ends with the model's own turn
        kept = message.opaque.blocks if message.opaque is not None and message.opaque.model == self.name else ()
        calls = [
            {"type": "tool_use", "id": call.id, "name": names.sent(call.name), "input": as_object(call.arguments)}
            for call in message.calls
        ]
        said = [{"type": "text", "text": text}] if text.strip() else []
        return [*kept, *said, *calls] if said or calls else []
