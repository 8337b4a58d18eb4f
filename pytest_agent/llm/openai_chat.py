"""OpenAI Chat Completions on the wire, plain and streamed.

Source: the `openai` SDK's own types and what it requires of a reply, field by field: a stream has `data:` lines only;
`.stream()` needs `object`, `choices[].index`, `tool_calls[].index`, and `type` and `function.name` in the first piece
of a call; the usage chunk comes with empty `choices`, after the finish reason, and only when asked for.

With `n` above 1 every choice says the same turn, under ids of its own; the record of what arrived is the first one's.
What a model thinks is shown as `reasoning_content`, as other hosts of this protocol do, unless the model is one of
OpenAI's own, which tells its tokens alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_agent.llm import openai_wire
from pytest_agent.llm.openai_checks import (
    BOOLEAN,
    COMMON,
    DECIMAL,
    INTEGER,
    OBJECT,
    STRING,
    Kind,
    check_effort,
    check_reasoning,
    check_schema,
    check_tools,
    check_types,
    empty,
    missing,
    not_among,
)
from pytest_agent.llm.openai_history import check_messages
from pytest_agent.llm.openai_wire import CREATED, call_ids, error_body, read_body, success_headers
from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Message, ModelRequest, WireRequest
from pytest_agent.llm.turn import Stop, ToolCall, Turn, Usage
from pytest_agent.llm.wire import ARGUMENT_PIECE, WORDS, dump, text_of, usage_of, wire_name

_SAME: dict[str, Any] = {"developer": "system", "function": "tool"}
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
_KINDS: dict[str, Kind] = {
    **COMMON,
    "n": Kind(INTEGER, (int,), 1, 128),
    "max_tokens": Kind(INTEGER, (int,), 1),
    "max_completion_tokens": Kind(INTEGER, (int,), 1),
    "presence_penalty": Kind(DECIMAL, (int, float), -2, 2),
    "frequency_penalty": Kind(DECIMAL, (int, float), -2, 2),
    "logprobs": BOOLEAN,
    "logit_bias": OBJECT,
    "seed": Kind(INTEGER, (int,)),
    "stop": Kind("one of a string or array", (str, list)),
    "response_format": OBJECT,
    "reasoning_effort": STRING,
}


class OpenAIChat:
    """The codec. It keeps no state: the same turn and request give the same bytes."""

    name = "OpenAI Chat Completions"
    keep_alive = b": keep-alive\n\n"

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /chat/completions, on any host: SDKs are pointed at many."""
        return method == "POST" and path.rstrip("/").endswith("/chat/completions")

    def decode(self, wire: WireRequest) -> ModelRequest:
        """The request, checked as the provider does: JSON, the history, the types of parameters, tools, the model."""
        data = read_body(wire, "messages")
        if not data.get("model"):
            raise BadRequest("you must provide a model parameter")
        check_types(data, {"model": STRING})
        check_messages(data.get("messages"))
        check_types(data, _KINDS)
        if data.get("stream_options") is not None and data.get("stream") is not True:
            raise BadRequest(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
            )
        if data.get("tools") == []:
            raise empty("tools")
        check_tools(data, nested=True, about_nothing=True)
        check_effort(data)
        check_reasoning(data, "max_completion_tokens", "unsupported_parameter")
        if data.get("response_format") is not None:
            _check_format(data["response_format"], data["messages"])
        return openai_wire.decoded(self, wire, data, data["messages"])

    def history(self, data: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages with their text alone; a developer's are the system's."""
        return tuple(map(_message, data["messages"]))

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn in one body, or as one chunk of the body for each SSE event."""
        usage = _usage(usage_of(turn, request))
        head = {"id": f"chatcmpl-{n}", "created": CREATED, "model": request.model}
        times = request.data.get("n") or 1
        choices = [_on_wire(turn, request, call_ids(turn, n, choice)) for choice in range(times)]
        headers = success_headers(n, stream=request.stream)
        if not openai_wire.shows_reasoning(request.model):
            turn = _without_reasoning(turn)
        if not request.stream:
            body = dump(_completion(head, turn, choices, usage))
            whole = Chunk(body, terminal=True, deltas=tuple(_whole(turn, choices[0])))
            return Reply(200, headers, (whole,), words=self)
        chunks = tuple(_stream(head, turn, choices, usage if request.include_usage else None))
        return Reply(200, headers, chunks, streamed=True, words=self, whole=len(chunks))

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """Status and body as documented, with the header that names a pause where one is given."""
        return openai_wire.error_reply(kind, request, retry_after)

    def error_event(self, kind: ErrorKind) -> Chunk:
        """The error object alone in a `data:` line."""
        return Chunk(_sse({"error": error_body(kind)}))

    def refuse(self, error: BadRequest) -> Reply:
        """400 `invalid_request_error`."""
        return openai_wire.refusal(error)


def _check_format(said: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    kind = said.get("type")
    if kind is None:
        raise missing("response_format.type")
    if kind not in ("json_object", "json_schema", "text"):
        raise not_among("response_format.type", kind, ("json_object", "json_schema", "text"))
    if kind == "json_object" and not any("json" in text_of(message.get("content")).lower() for message in messages):
        raise BadRequest(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )
    if kind == "json_schema":
        schema = said.get("json_schema")
        if not isinstance(schema, dict):
            raise missing("response_format.json_schema")
        if not schema.get("name"):
            raise missing("response_format.json_schema.name")
        if schema.get("strict") is True:
            check_schema(f"response_format '{schema['name']}'", schema.get("schema"), "response_format")


def _message(said: dict[str, Any]) -> Message:
    functions = [(call, call.get("function") or call.get("custom")) for call in said.get("tool_calls") or ()]
    return Message(
        role=_SAME.get(said["role"], said["role"]),
        text=text_of(said.get("content")) or said.get("refusal") or "",
        calls=tuple(
            ToolCall(function["name"], function.get("arguments", function.get("input", "")), call["id"])
            for call, function in functions
        ),
        call_id=said.get("tool_call_id"),
        name=said.get("name"),
    )


def _on_wire(turn: Turn, request: ModelRequest, ids: list[str]) -> list[ToolCall]:
    return [
        ToolCall(wire_name(call.name, request.tools), call.arguments, id_)
        for call, id_ in zip(turn.calls, ids, strict=True)
    ]


def _without_reasoning(turn: Turn) -> Turn:
    return turn if turn.reasoning is None else Turn(turn.text, turn.calls, turn.stop, turn.usage, None, turn.refusal)


def _usage(said: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.input_tokens + said.output_tokens,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": said.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _completion(
    head: dict[str, Any], turn: Turn, choices: list[list[ToolCall]], usage: dict[str, Any]
) -> dict[str, Any]:
    said: list[dict[str, Any]] = []
    for index, calls in enumerate(choices):
        content = None if turn.refusal else turn.text
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": turn.refusal}
        if turn.reasoning is not None:
            message["reasoning_content"] = turn.reasoning
        if calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
        finish = _STOPS[turn.stop_reason]
        said.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    return {**head, "object": "chat.completion", "choices": said, "usage": usage}


def _whole(turn: Turn, calls: list[ToolCall]) -> Iterator[Delta]:
    if turn.refusal or turn.text:
        yield Delta(text=turn.refusal or turn.text or "")
    for index, call in enumerate(calls):
        yield Delta(index=index, name=call.name, id=call.id or "", arguments=call.arguments)


def _stream(
    head: dict[str, Any], turn: Turn, choices: list[list[ToolCall]], usage: dict[str, Any] | None
) -> Iterator[Chunk]:
    frame = {**head, "object": "chat.completion.chunk"}
    # The events differ in little, so that most of their text is written once. A client that asked for usage gets
    # `usage: null` on every chunk but the last.
    begin = b"data: " + dump(frame)[:-1] + b',"choices":[{"index":'
    end = b"}]}\n\n" if usage is None else b'}],"usage":null}\n\n'
    for index, calls in enumerate(choices):
        opening, last = begin + str(index).encode() + b',"delta":', index + 1 == len(choices)
        for delta, seen, finish in _pieces(turn, calls):
            closing = b',"logprobs":null,"finish_reason":' + dump(finish) + end
            yield Chunk(
                opening + dump(delta) + closing,
                terminal=finish is not None and last,
                deltas=() if index or seen is None else (seen,),
            )
    if usage is not None:
        yield Chunk(_sse({**frame, "choices": [], "usage": usage}))
    yield Chunk(b"data: [DONE]\n\n")


def _pieces(turn: Turn, calls: list[ToolCall]) -> Iterator[tuple[dict[str, Any], Delta | None, str | None]]:
    """What each event of one choice says, what that adds to the turn, and the finish reason of the last."""
    text = "" if turn.refusal else turn.text
    yield {"role": "assistant", "content": None if text is None else "", "refusal": None}, None, None
    for piece in WORDS.findall(turn.reasoning or ""):
        yield {"reasoning_content": piece}, None, None
    for piece in WORDS.findall(turn.refusal or text or ""):
        yield {"refusal" if turn.refusal else "content": piece}, Delta(text=piece), None
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": "function", "function": function}
        yield {"tool_calls": [opening]}, Delta(index=index, name=call.name, id=call.id or ""), None
        for start in range(0, len(call.arguments), ARGUMENT_PIECE):
            piece = call.arguments[start : start + ARGUMENT_PIECE]
            more = {"index": index, "function": {"arguments": piece}}
            yield {"tool_calls": [more]}, Delta(index=index, arguments=piece), None
    yield {}, None, _STOPS[turn.stop_reason]


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + dump(data) + b"\n\n"
