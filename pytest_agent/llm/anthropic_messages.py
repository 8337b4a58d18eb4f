"""Anthropic Messages on the wire, plain and streamed.

Source: the `anthropic` SDK's own types and what it requires of a reply. Its `event:` lines are mandatory: without them
the SDK returns an empty stream and no error. Order: message_start, for each block content_block_start, its deltas and
content_block_stop, then message_delta with the stop reason and the usage, then message_stop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Message, ModelRequest, WireRequest
from pytest_agent.llm.turn import Stop, ToolCall, Turn
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

_JSON = ("content-type", "application/json")
_SSE = ("content-type", "text/event-stream; charset=utf-8")
_STOPS: dict[Stop, str] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
    "pause": "pause_turn",
    "context_window": "model_context_window_exceeded",
}
_ERRORS: dict[ErrorKind, tuple[int, str, str]] = {
    "insufficient_quota": (
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade.",
    ),
    "rate_limit": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "server_error": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "bad_request": (400, "invalid_request_error", "The request is invalid."),
    "context_length_exceeded": (400, "invalid_request_error", "prompt is too long: 212410 tokens > 200000 maximum"),
    "authentication": (401, "authentication_error", "invalid x-api-key"),
    "model_not_found": (404, "not_found_error", "model: the requested model was not found"),
    "content_filter": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "not_found": (404, "not_found_error", "Not found"),
    "permission_denied": (
        403,
        "permission_error",
        "Your API key does not have permission to use the specified resource.",
    ),
    "request_too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "service_unavailable": (503, "api_error", "Service unavailable"),
    "spend_limit": (429, "rate_limit_error", "You have reached your specified API usage limits."),
    "timeout": (504, "timeout_error", "Request timed out"),
}


class AnthropicMessages:
    """The codec. It keeps no state: the same turn and request give the same bytes."""

    name = "Anthropic Messages"
    keep_alive = b'event: ping\ndata: {"type":"ping"}\n\n'

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /v1/messages, on any host."""
        return method == "POST" and path.rstrip("/").endswith("/v1/messages")

    def decode(self, wire: WireRequest) -> ModelRequest:
        """The request, checked as far as the provider's own 400s go here: JSON, model, max_tokens, messages, roles."""
        try:
            data = json.loads(wire.body)
        except (ValueError, RecursionError) as error:
            raise BadRequest("The request body is not valid JSON.") from error
        if not isinstance(data, dict):
            raise BadRequest("Input should be a valid dictionary")
        for field, kind in (("model", str), ("max_tokens", int), ("messages", list)):
            if field not in data:
                raise BadRequest(f"{field}: Field required", field)
            if not isinstance(data[field], kind) or isinstance(data[field], bool):
                raise BadRequest(f"{field}: Input should be a valid {kind.__name__}", field)
        if not data["messages"]:
            raise BadRequest("messages: at least one message is required", "messages")
        for index, message in enumerate(data["messages"]):
            role = message.get("role") if isinstance(message, dict) else None
            if role not in ("user", "assistant"):
                raise BadRequest(f'messages.{index}.role: Input should be "user" or "assistant"', "messages")
        tools = data.get("tools")
        names = [tool.get("name") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
        return ModelRequest(
            codec=self,
            model=data["model"],
            messages=data["messages"],
            tools=tuple(name for name in names if isinstance(name, str)),
            stream=data.get("stream") is True,
            include_usage=True,
            body_sha256=hashlib.sha256(canonical(data)).hexdigest(),
            retry_count=number(wire.headers.get("x-stainless-retry-count")),
            idempotency_key=wire.headers.get("idempotency-key"),
            data=data,
        )

    def history(self, data: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages with their text alone; each result of a tool is a message of its own."""
        system = data.get("system")
        said = [Message("system", text_of(system))] if system else []
        return (*said, *(made for message in data["messages"] for made in _messages(message)))

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn in one body, or as one chunk of the body for each SSE event."""
        headers = (_SSE if request.stream else _JSON, ("request-id", f"req_{n}"))
        calls = [
            ToolCall(
                wire_name(call.name, request.tools),
                call.arguments,
                f"toolu_{n}_{index}" if call.id is None else call.id,
            )
            for index, call in enumerate(turn.calls)
        ]
        chunks = (
            tuple(self._stream(turn, calls, request, n)) if request.stream else (self._whole(turn, calls, request, n),)
        )
        return Reply(200, headers, chunks, streamed=request.stream, words=self, whole=len(chunks))

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """Status and body as documented, with the header that names a pause where one is given."""
        del request
        status, type_, message = _ERRORS[kind]
        return _error_reply(status, (_JSON, *retry_after_header(retry_after)), type_, message)

    def error_event(self, kind: ErrorKind) -> Chunk:
        """An `event: error` with the body that the status would have had."""
        _, type_, message = _ERRORS[kind]
        return _event("error", error={"type": type_, "message": message})

    def refuse(self, error: BadRequest) -> Reply:
        """400 `invalid_request_error`."""
        return _error_reply(400, (_JSON,), "invalid_request_error", str(error))

    def _whole(self, turn: Turn, calls: list[ToolCall], request: ModelRequest, n: int) -> Chunk:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": turn.text, "citations": None}] if turn.text else []
        blocks += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)} for call in calls
        ]
        message = {
            **_head(request, n),
            "content": blocks,
            "stop_reason": _STOPS[turn.stop_reason],
            "usage": _usage(turn, request),
        }
        deltas = [Delta(text=turn.text)] if turn.text else []
        deltas += [
            Delta(index=index, name=call.name, id=call.id or "", arguments=call.arguments)
            for index, call in enumerate(calls)
        ]
        return Chunk(dump(message), terminal=True, deltas=tuple(deltas))

    def _stream(self, turn: Turn, calls: list[ToolCall], request: ModelRequest, n: int) -> Iterator[Chunk]:
        usage = _usage(turn, request)
        start = {**_head(request, n), "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        yield _event("message_start", message=start)
        index = 0
        if turn.text:
            yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            for piece in WORDS.findall(turn.text):
                delta = {"type": "text_delta", "text": piece}
                yield _event("content_block_delta", Delta(text=piece), index=0, delta=delta)
            yield _event("content_block_stop", index=0)
            index = 1
        for place, call in enumerate(calls):
            block: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            opened = Delta(index=place, name=call.name, id=call.id or "")
            yield _event("content_block_start", opened, index=index + place, content_block=block)
            for begin in range(0, len(call.arguments), ARGUMENT_PIECE):
                piece = call.arguments[begin : begin + ARGUMENT_PIECE]
                delta = {"type": "input_json_delta", "partial_json": piece}
                yield _event(
                    "content_block_delta", Delta(index=place, arguments=piece), index=index + place, delta=delta
                )
            yield _event("content_block_stop", index=index + place)
        reason = {"stop_reason": _STOPS[turn.stop_reason], "stop_sequence": None}
        yield _event("message_delta", terminal=True, delta=reason, usage={"output_tokens": usage["output_tokens"]})
        yield _event("message_stop")


def _messages(said: dict[str, Any]) -> Iterator[Message]:
    content = said.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    for block in blocks:
        if block.get("type") == "tool_result":
            yield Message("tool", text_of(block.get("content")), call_id=block.get("tool_use_id"))
    calls = tuple(
        ToolCall(str(block.get("name")), json.dumps(block.get("input"), ensure_ascii=False), block.get("id"))
        for block in blocks
        if block.get("type") == "tool_use"
    )
    text = text_of(content)
    if text or calls or not blocks:
        yield Message(said["role"], text, calls)


def _head(request: ModelRequest, n: int) -> dict[str, Any]:
    return {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": request.model, "stop_sequence": None}


def _usage(turn: Turn, request: ModelRequest) -> dict[str, int]:
    said = usage_of(turn, request)
    return {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}


def _input(arguments: str) -> Any:
    """Arguments as the plain body has them: an object. What is not JSON can only be shown as text."""
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments


def _event(kind: str, *seen: Delta, terminal: bool = False, **data: Any) -> Chunk:
    text = b"event: " + kind.encode() + b"\ndata: " + dump({"type": kind, **data}) + b"\n\n"
    return Chunk(text, terminal=terminal, deltas=seen)


def _error_reply(status: int, headers: tuple[tuple[str, str], ...], type_: str, message: str) -> Reply:
    body = dump({"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_error"})
    return Reply(status, headers, (Chunk(body),), error_code=type_, meant=False)
