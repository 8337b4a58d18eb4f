"""OpenAI Chat Completions on the wire, plain and streamed.

Source: the `openai` SDK's own types and what it requires of a reply, field by field: a stream has `data:` lines only;
`.stream()` needs `object`, `choices[].index`, `tool_calls[].index`, and `type` and `function.name` in the first piece
of a call; the usage chunk comes with empty `choices`, after the finish reason, and only when asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Message, ModelRequest, WireRequest
from pytest_agent.llm.turn import Stop, ToolCall, Turn, Usage
from pytest_agent.llm.wire import (
    ARGUMENT_PIECE,
    WORDS,
    canonical,
    dump,
    number,
    retry_after_header,
    text_of,
    usage_of,
    wire_name,
)

_CREATED = 1_767_225_600  # a fixed second: replies are the same bytes on every run
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_SAME: dict[str, Any] = {"developer": "system", "function": "tool"}
_JSON = ("content-type", "application/json")
_SSE = ("content-type", "text/event-stream; charset=utf-8")

_STOPS: dict[Stop, str] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
    "refusal": "stop",
    "stop_sequence": "stop",
    "pause": "stop",
    "context_window": "length",
}
_ERRORS: dict[ErrorKind, tuple[int, str, str | None, str]] = {
    "insufficient_quota": (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "rate_limit": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "server_error": (500, "server_error", None, "The server had an error while processing your request."),
    "overloaded": (503, "service_unavailable_error", "server_is_overloaded", "The server is overloaded."),
    "bad_request": (400, "invalid_request_error", None, "The request is invalid."),
    "context_length_exceeded": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
    "authentication": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "model_not_found": (
        404,
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    "content_filter": (
        400,
        "invalid_request_error",
        "content_filter",
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
    "not_found": (404, "invalid_request_error", "unknown_url", "Invalid URL"),
    "permission_denied": (
        403,
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    "request_too_large": (413, "invalid_request_error", None, "Request body is too large."),
    "service_unavailable": (503, "server_error", None, "The server is temporarily unavailable."),
    "spend_limit": (
        429,
        "insufficient_quota",
        "billing_hard_limit_reached",
        "Billing hard limit has been reached.",
    ),
    "timeout": (408, "invalid_request_error", None, "Request timed out."),
}


class OpenAIChat:
    """The codec. It keeps no state: the same turn and request give the same bytes."""

    name = "OpenAI Chat Completions"
    keep_alive = b": keep-alive\n\n"

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /chat/completions, on any host: SDKs are pointed at many."""
        return method == "POST" and path.rstrip("/").endswith("/chat/completions")

    def decode(self, wire: WireRequest) -> ModelRequest:
        """The request, checked as far as the provider's own 400s go here: JSON, model, messages and their roles."""
        try:
            data = json.loads(wire.body)
        except (ValueError, RecursionError) as error:
            raise BadRequest("We could not parse the JSON body of your request.") from error
        if not isinstance(data, dict):
            raise BadRequest("We could not parse the JSON body of your request.")
        model, messages = data.get("model"), data.get("messages")
        if not isinstance(model, str) or not model:
            raise BadRequest("you must provide a model parameter", "model")
        if not isinstance(messages, list) or not messages:
            raise BadRequest("Invalid 'messages': expected a non-empty array.", "messages")
        for index, message in enumerate(messages):
            role = message.get("role") if isinstance(message, dict) else None
            if role not in _ROLES:
                raise BadRequest(
                    f"Invalid value: {role!r}. Supported values are: {sorted(_ROLES)}.",
                    f"messages[{index}].role",
                )
        options = data.get("stream_options")
        return ModelRequest(
            codec=self,
            model=model,
            messages=messages,
            tools=tuple(_tool_names(data.get("tools"))),
            stream=data.get("stream") is True,
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
            body_sha256=hashlib.sha256(canonical(data)).hexdigest(),
            retry_count=number(wire.headers.get("x-stainless-retry-count")),
            idempotency_key=wire.headers.get("idempotency-key"),
            data=data,
        )

    def history(self, data: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages with their text alone; a developer's are the system's."""
        return tuple(map(_message, data["messages"]))

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn in one body, or as one chunk of the body for each SSE event."""
        calls = [self._on_wire(call, request, n, index) for index, call in enumerate(turn.calls)]
        usage = _usage(usage_of(turn, request))
        head = {"id": f"chatcmpl-{n}", "created": _CREATED, "model": request.model}
        headers = (_SSE if request.stream else _JSON, ("x-request-id", f"req_{n}"))
        if not request.stream:
            whole = Chunk(dump(_completion(head, turn, calls, usage)), terminal=True, deltas=tuple(_whole(turn, calls)))
            return Reply(200, headers, (whole,), words=self)
        chunks = tuple(_stream(head, turn, calls, usage if request.include_usage else None))
        return Reply(200, headers, chunks, streamed=True, words=self, whole=len(chunks))

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """Status and body as documented, with the header that names a pause where one is given."""
        del request
        status, type_, code, message = _ERRORS[kind]
        return _error_reply(status, (_JSON, *retry_after_header(retry_after)), message, type_, None, code)

    def error_event(self, kind: ErrorKind) -> Chunk:
        """The error object alone in a `data:` line."""
        _, type_, code, message = _ERRORS[kind]
        return Chunk(_sse({"error": {"message": message, "type": type_, "param": None, "code": code}}))

    def refuse(self, error: BadRequest) -> Reply:
        """400 `invalid_request_error`."""
        return _error_reply(400, (_JSON,), str(error), "invalid_request_error", error.param, error.code)

    def _on_wire(self, call: ToolCall, request: ModelRequest, n: int, index: int) -> ToolCall:
        return ToolCall(
            wire_name(call.name, request.tools), call.arguments, f"call_{n}_{index}" if call.id is None else call.id
        )


def _message(said: dict[str, Any]) -> Message:
    calls = said.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return Message(
        role=_SAME.get(said["role"], said["role"]),
        text=text_of(said.get("content")),
        calls=tuple(
            ToolCall(str(function.get("name")), str(function.get("arguments")), call.get("id"))
            for call, function in zip(calls or (), functions, strict=False)
            if isinstance(function, dict) and "name" in function
        ),
        call_id=said.get("tool_call_id"),
        name=said.get("name"),
    )


def _tool_names(tools: object) -> Iterator[str]:
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            yield function["name"]


def _usage(said: Usage) -> dict[str, int]:
    total = said.input_tokens + said.output_tokens
    return {"prompt_tokens": said.input_tokens, "completion_tokens": said.output_tokens, "total_tokens": total}


def _completion(head: dict[str, Any], turn: Turn, calls: list[ToolCall], usage: dict[str, int]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _STOPS[turn.stop_reason]}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


def _whole(turn: Turn, calls: list[ToolCall]) -> Iterator[Delta]:
    if turn.text:
        yield Delta(text=turn.text)
    for index, call in enumerate(calls):
        yield Delta(index=index, name=call.name, id=call.id or "", arguments=call.arguments)


def _stream(head: dict[str, Any], turn: Turn, calls: list[ToolCall], usage: dict[str, int] | None) -> Iterator[Chunk]:
    frame = {**head, "object": "chat.completion.chunk"}
    # A client that asked for usage gets `usage: null` on every chunk but the last.
    without: dict[str, Any] = {} if usage is None else {"usage": None}

    def event(delta: dict[str, Any], *seen: Delta, finish: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Chunk(_sse({**frame, "choices": [choice], **without}), terminal=finish is not None, deltas=seen)

    yield event({"role": "assistant", "content": None if turn.text is None else "", "refusal": None})
    for piece in WORDS.findall(turn.text or ""):
        yield event({"content": piece}, Delta(text=piece))
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": "function", "function": function}
        yield event({"tool_calls": [opening]}, Delta(index=index, name=call.name, id=call.id or ""))
        for start in range(0, len(call.arguments), ARGUMENT_PIECE):
            piece = call.arguments[start : start + ARGUMENT_PIECE]
            more = {"index": index, "function": {"arguments": piece}}
            yield event({"tool_calls": [more]}, Delta(index=index, arguments=piece))
    yield event({}, finish=_STOPS[turn.stop_reason])
    if usage is not None:
        yield Chunk(_sse({**frame, "choices": [], "usage": usage}))
    yield Chunk(b"data: [DONE]\n\n")


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + dump(data) + b"\n\n"


def _error_reply(
    status: int,
    headers: tuple[tuple[str, str], ...],
    message: str,
    type_: str,
    param: str | None,
    code: str | None,
) -> Reply:
    body = dump({"error": {"message": message, "type": type_, "param": param, "code": code}})
    return Reply(status, headers, (Chunk(body),), error_code=code or type_, meant=False)
