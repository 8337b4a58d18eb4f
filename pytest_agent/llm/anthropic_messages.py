"""Anthropic Messages on the wire, plain and streamed.

Source: the `anthropic` SDK's own types and what it requires of a reply. Its `event:` lines are mandatory: without them
the SDK returns an empty stream and no error. Order: message_start, for each block content_block_start, its deltas and
content_block_stop, then message_delta with the stop reason and the usage, then message_stop. A ping follows the start
of the first block. Reasoning is a thinking block, whose signature comes as its last delta.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_agent.llm.anthropic_checks import read_body
from pytest_agent.llm.anthropic_errors import JSON, error_object, error_reply, limit_headers, refusal
from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Message, ModelRequest, WireRequest
from pytest_agent.llm.turn import Stop, ToolCall, Turn, Usage
from pytest_agent.llm.wire import ARGUMENT_PIECE, WORDS, dump, number, text_of, usage_of, wire_name

_SSE = ("content-type", "text/event-stream; charset=utf-8")
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
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


class AnthropicMessages:
    """The codec. It keeps no state: the same turn and request give the same bytes.

    What the model refuses to say is its text, with the stop reason `refusal`.
    """

    name = "Anthropic Messages"
    keep_alive = _PING

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /v1/messages, on any host."""
        return method == "POST" and path.rstrip("/").endswith("/v1/messages")

    def decode(self, wire: WireRequest) -> ModelRequest:
        """The request. Raises BadRequest for what the provider refuses; see `anthropic_checks`."""
        return self.read(wire, ("model", "max_tokens", "messages"))

    def read(self, wire: WireRequest, required: tuple[str, ...]) -> ModelRequest:
        """The request whose body must have these fields."""
        data = read_body(wire, required)
        return ModelRequest(
            codec=self,
            model=data["model"],
            messages=data["messages"],
            tools=tuple(tool["name"] for tool in data.get("tools") or () if "name" in tool),
            stream=data.get("stream") is True,
            include_usage=True,
            body_sha256=hashlib.sha256(wire.body).hexdigest(),
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
        used = usage_of(turn, request)
        headers = (_SSE if request.stream else JSON, ("request-id", f"req_{n}"), *limit_headers(used))
        calls = [
            ToolCall(
                wire_name(call.name, request.tools),
                call.arguments,
                f"toolu_{n}_{index}" if call.id is None else call.id,
            )
            for index, call in enumerate(turn.calls)
        ]
        write = _stream if request.stream else _whole
        chunks = tuple(write(turn, calls, request, n, used))
        return Reply(200, headers, chunks, streamed=request.stream, words=self, whole=len(chunks))

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """Status and body as documented, with the header that names a pause where one is given and helps."""
        return error_reply(kind, request, retry_after)

    def error_event(self, kind: ErrorKind) -> Chunk:
        """An `event: error` with the body that the status would have had."""
        return _event("error", error=error_object(kind))

    def refuse(self, error: BadRequest) -> Reply:
        """400 `invalid_request_error`."""
        return refusal(error)


def _whole(turn: Turn, calls: list[ToolCall], request: ModelRequest, n: int, used: Usage) -> Iterator[Chunk]:
    blocks: list[dict[str, Any]] = []
    text = turn.refusal or turn.text
    if turn.reasoning:
        blocks.append({"type": "thinking", "thinking": turn.reasoning, "signature": _signature(turn.reasoning)})
    if text:
        blocks.append({"type": "text", "text": text, "citations": None})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)} for call in calls
    ]
    message = {**_head(request, n), "content": blocks, **_end(turn, request), "usage": _usage(used)}
    deltas = [Delta(text=text)] if text else []
    deltas += [
        Delta(index=index, name=call.name, id=call.id or "", arguments=call.arguments)
        for index, call in enumerate(calls)
    ]
    yield Chunk(dump(message), terminal=True, deltas=tuple(deltas))


def _stream(turn: Turn, calls: list[ToolCall], request: ModelRequest, n: int, used: Usage) -> Iterator[Chunk]:
    usage = _usage(used)
    start: dict[str, Any] = {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield _event("message_start", message={**_head(request, n), **start})
    blocks = [_thinking_block(turn.reasoning)] if turn.reasoning else []
    text = turn.refusal or turn.text
    blocks += [_text_block(text)] if text else []
    blocks += [_call_block(place, call) for place, call in enumerate(calls)]
    for index, (block, opened, deltas) in enumerate(blocks):
        yield _event("content_block_start", *opened, index=index, content_block=block)
        if index == 0:
            yield Chunk(_PING)
        for delta, seen in deltas:
            yield _event("content_block_delta", *seen, index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", terminal=True, delta=_end(turn, request), usage=usage)
    yield _event("message_stop")


_Deltas = list[tuple[dict[str, Any], tuple[Delta, ...]]]
_Block = tuple[dict[str, Any], tuple[Delta, ...], _Deltas]
"""A block as it begins, what its beginning says, and the pieces of it with what each says."""


def _thinking_block(thinking: str) -> _Block:
    deltas: _Deltas = [({"type": "thinking_delta", "thinking": piece}, ()) for piece in WORDS.findall(thinking)]
    deltas.append(({"type": "signature_delta", "signature": _signature(thinking)}, ()))
    return {"type": "thinking", "thinking": "", "signature": ""}, (), deltas


def _text_block(text: str) -> _Block:
    deltas: _Deltas = [({"type": "text_delta", "text": piece}, (Delta(text=piece),)) for piece in WORDS.findall(text)]
    return {"type": "text", "text": ""}, (), deltas


def _call_block(place: int, call: ToolCall) -> _Block:
    pieces = [call.arguments[begin : begin + ARGUMENT_PIECE] for begin in range(0, len(call.arguments), ARGUMENT_PIECE)]
    deltas: _Deltas = [
        ({"type": "input_json_delta", "partial_json": piece}, (Delta(index=place, arguments=piece),))
        for piece in pieces
    ]
    block: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
    return block, (Delta(index=place, name=call.name, id=call.id or ""),), deltas


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
    return {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": request.model}


def _end(turn: Turn, request: ModelRequest) -> dict[str, Any]:
    """Why the turn ends; at a stop sequence, which: the first of those that were asked for."""
    reason = _STOPS[turn.stop_reason]
    sequences = request.data.get("stop_sequences") if reason == "stop_sequence" else None
    end: dict[str, Any] = {"stop_reason": reason, "stop_sequence": sequences[0] if sequences else None}
    if reason == "refusal":
        end["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return end


def _usage(used: Usage) -> dict[str, Any]:
    """The tokens as they are billed: those read from the cache are not part of the input here."""
    usage: dict[str, Any] = {
        "input_tokens": max(0, used.input_tokens - used.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": used.cached_tokens,
        "output_tokens": used.output_tokens,
    }
    if used.reasoning_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": used.reasoning_tokens}
    return usage


def _signature(thinking: str) -> str:
    """What proves to the provider that the thinking is its own."""
    return base64.b64encode(hashlib.sha256(thinking.encode("utf-8", "surrogatepass")).digest()).decode()


def _input(arguments: str) -> Any:
    """Arguments as the plain body has them: an object. What is not JSON can only be shown as text."""
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments


def _event(kind: str, *seen: Delta, terminal: bool = False, **data: Any) -> Chunk:
    text = b"event: " + kind.encode() + b"\ndata: " + dump({"type": kind, **data}) + b"\n\n"
    return Chunk(text, terminal=terminal, deltas=seen)
