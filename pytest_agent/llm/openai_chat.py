"""OpenAI Chat Completions on the wire, plain and streamed.

Source: the `openai` SDK's own types and what it requires of a reply, field by field: a stream has `data:` lines only;
`.stream()` needs `object`, `choices[].index`, `tool_calls[].index`, and `type` and `function.name` in the first piece
of a call; the usage chunk comes with empty `choices`, after the finish reason, and only when asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply
from pytest_agent.llm.request import BadRequest, ModelRequest
from pytest_agent.llm.turn import ToolCall, Turn, Usage

_CREATED = 1_767_225_600  # a fixed second: replies are the same bytes on every run
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_WORDS = re.compile(r"\S+\s*|\s+")
_ARGUMENT_PIECE = 12  # characters; providers send a few tokens at a time
_JSON = ("content-type", "application/json")
_SSE = ("content-type", "text/event-stream; charset=utf-8")

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
}


class OpenAIChat:
    """The codec. It keeps no state: the same turn and request give the same bytes."""

    name = "OpenAI Chat Completions"

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /chat/completions, on any host: SDKs are pointed at many."""
        return method == "POST" and path.rstrip("/").endswith("/chat/completions")

    def decode(self, body: bytes, headers: dict[str, str]) -> ModelRequest:
        """The request, checked as far as the provider's own 400s go here: JSON, model, messages and their roles."""
        try:
            data = json.loads(body)
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
            body_sha256=hashlib.sha256(_canonical(data)).hexdigest(),
            retry_count=_as_int(headers.get("x-stainless-retry-count")),
            idempotency_key=headers.get("idempotency-key"),
        )

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn in one body, or as one chunk of the body for each SSE event."""
        calls = [self._on_wire(call, request, n, index) for index, call in enumerate(turn.calls)]
        usage = _usage(turn, request)
        head = {"id": f"chatcmpl-{n}", "created": _CREATED, "model": request.model}
        headers = (_SSE if request.stream else _JSON, ("x-request-id", f"req_{n}"))
        if not request.stream:
            data = _dump(_completion(head, turn, calls, usage))
            return Reply(200, headers, (Chunk(data, terminal=True, deltas=tuple(_whole(turn, calls))),))
        chunks = tuple(_stream(head, turn, calls, usage if request.include_usage else None))
        return Reply(200, headers, chunks, streamed=True, whole=len(chunks))

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after_s: float | None = None) -> Reply:
        """Status and body as documented; `retry-after` in seconds where given."""
        del request
        status, type_, code, message = _ERRORS[kind]
        headers: tuple[tuple[str, str], ...] = (_JSON,)
        if retry_after_s is not None:
            seconds = int(retry_after_s) if retry_after_s == int(retry_after_s) else retry_after_s
            headers += (("retry-after", str(seconds)),)
        return _error_reply(status, headers, message, type_, None, code)

    def refuse(self, error: BadRequest) -> Reply:
        """400 `invalid_request_error`."""
        return _error_reply(400, (_JSON,), str(error), "invalid_request_error", error.param, error.code)

    def _on_wire(self, call: ToolCall, request: ModelRequest, n: int, index: int) -> ToolCall:
        return ToolCall(wire_name(call.name, request.tools), call.arguments, call.id or f"call_{n}_{index}")


def wire_name(name: str, declared: Sequence[str]) -> str:
    """The name under which the agent declared the tool.

    The wire allows letters, digits, `_` and `-` only, so that an agent declares `payments.refund` as
    `payments_refund` or the like; a script uses the tool's own name.
    """
    if name in declared:
        return name
    plain = re.sub(r"[^a-zA-Z0-9]", "", name)
    return next((other for other in declared if re.sub(r"[^a-zA-Z0-9]", "", other) == plain), name)


def _tool_names(tools: object) -> Iterator[str]:
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            yield function["name"]


def _as_int(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _dump(data: object) -> bytes:
    # Half of a surrogate pair has no UTF-8; JSON spells it `\ud83d`, which is what the handler makes of it.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _usage(turn: Turn, request: ModelRequest) -> dict[str, int]:
    """What the turn says, else an estimate of four characters a token, as providers document it."""
    said = turn.usage or Usage(
        input_tokens=max(1, len(_dump(request.messages)) // 4),
        output_tokens=max(1, (len(turn.text or "") + sum(len(call.arguments) for call in turn.calls)) // 4),
    )
    total = said.input_tokens + said.output_tokens
    return {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": total,
    }


def _completion(head: dict[str, Any], turn: Turn, calls: list[ToolCall], usage: dict[str, int]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": turn.stop_reason}
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
    for piece in _WORDS.findall(turn.text or ""):
        yield event({"content": piece}, Delta(text=piece))
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": "function", "function": function}
        yield event({"tool_calls": [opening]}, Delta(index=index, name=call.name, id=call.id or ""))
        for start in range(0, len(call.arguments), _ARGUMENT_PIECE):
            piece = call.arguments[start : start + _ARGUMENT_PIECE]
            more = {"index": index, "function": {"arguments": piece}}
            yield event({"tool_calls": [more]}, Delta(index=index, arguments=piece))
    yield event({}, finish=turn.stop_reason)
    if usage is not None:
        yield Chunk(_sse({**frame, "choices": [], "usage": usage}))
    yield Chunk(b"data: [DONE]\n\n")


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + _dump(data) + b"\n\n"


def _error_reply(
    status: int,
    headers: tuple[tuple[str, str], ...],
    message: str,
    type_: str,
    param: str | None,
    code: str | None,
) -> Reply:
    body = _dump({"error": {"message": message, "type": type_, "param": param, "code": code}})
    return Reply(status, headers, (Chunk(body),), error_code=code or type_, meant=False)
