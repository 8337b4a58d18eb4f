"""An OpenAI-compatible Chat Completions client."""

from __future__ import annotations

from typing import Any, ClassVar

from agentfsm.models.assembly import ChatAssembly
from agentfsm.models.history import paired
from agentfsm.models.http_model import HttpModel
from agentfsm.models.structured import instructed
from agentfsm.models.wire import Names, as_object
from agentfsm.turns import Message, ModelRequest


class OpenAIChat(HttpModel):
    """Talks to `{base_url}/chat/completions`; see `HttpModel` for the arguments.

    A turn is complete with its finish reason: `stop`, `tool_calls` and `function_call` are an end; `length` gives a
    turn that was cut, none of whose calls may run. A refusal and `content_filter` raise ModelError for good. No
    choices, no reason, one that nobody knows, and calls that are announced and missing are no end: IncompleteTurn.
    """

    provider: ClassVar[str] = "openai"
    base: ClassVar[str] = "https://api.openai.com/v1"
    path: ClassVar[str] = "/chat/completions"
    optional: ClassVar[frozenset[str]] = frozenset(
        {"temperature", "max_tokens", "max_completion_tokens", "response_format", "stream_options"}
    )

    def headers(self) -> dict[str, str]:
        """Return the bearer token, where there is one."""
        return {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}

    def body(self, request: ModelRequest, names: Names) -> dict[str, Any]:
        """Return the request body."""
        taken = self._parameters.taken
        if request.answer is not None and not taken("response_format"):
            request = instructed(request)
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [_message(message, names) for message in paired(request.messages)],
        }
        if request.tools:
            body["tools"] = [
                {"type": "function", "function": {**tool, "name": names.sent(tool["name"])}} for tool in request.tools
            ]
        if self._stream:
            body["stream"] = True
            if taken("stream_options"):
                body["stream_options"] = {"include_usage": True}
        if self._temperature is not None and taken("temperature"):
            body["temperature"] = self._temperature
        limit = next((name for name in ("max_tokens", "max_completion_tokens") if taken(name)), None)
        if self._max_tokens is not None and limit is not None:
            body[limit] = self._max_tokens
        if request.answer is not None:
            schema = {"name": "answer", "schema": request.answer}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def assembly(self) -> ChatAssembly:
        """Return what gathers a reply."""
        return ChatAssembly()


def _message(message: Message, names: Names) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.calls:
        body["content"] = message.text or None
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": names.sent(call.name), "arguments": _sendable(call.arguments)},
            }
            for call in message.calls
        ]
    return body


def _sendable(arguments: str) -> str:
    return arguments if as_object(arguments) else "{}"
