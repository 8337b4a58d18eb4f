"""An OpenAI-compatible Chat Completions client."""

from __future__ import annotations

from typing import Any, ClassVar

from agentfsm.models.assembly import ChatAssembly
from agentfsm.models.http_model import HttpModel
from agentfsm.models.wire import body_of
from agentfsm.turns import ModelRequest


class OpenAIChat(HttpModel):
    """Talks to `{base_url}/chat/completions`; see `HttpModel` for the arguments.

    A turn is complete with its finish reason. `length` gives a turn whose calls may not run; a refusal and
    `content_filter` raise ModelError for good; a reason that nobody knows is no end.
    """

    provider: ClassVar[str] = "openai"
    base: ClassVar[str] = "https://api.openai.com/v1"
    path: ClassVar[str] = "/chat/completions"

    def headers(self) -> dict[str, str]:
        """Return the bearer token, where there is one."""
        return {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the request body."""
        body = body_of(request, self._model, stream=self._stream)
        if (temperature := self._parameters.get("temperature")) is not None:
            body["temperature"] = temperature
        if (most := self._parameters.get("max_tokens")) is not None:
            body["max_tokens"] = most
        elif self._parameters.refused("max_tokens") and (most := self._parameters.given("max_tokens")) is not None:
            body["max_completion_tokens"] = most
        if request.answer is not None:
            schema = {"name": "answer", "schema": request.answer}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def assembly(self) -> ChatAssembly:
        """Return what gathers a reply."""
        return ChatAssembly()
