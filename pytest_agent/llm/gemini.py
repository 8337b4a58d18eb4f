"""Gemini's generateContent and streamGenerateContent on the wire, in `v1`, `v1beta` and under Vertex's paths.

Source: the `google-genai` SDK's own types and what it requires of a reply. Model and method stand in the path. A stream
is events where `alt=sse` is asked for and a JSON list otherwise; nothing ends it but its end, so that the finish reason
is the terminal marker. It comes with the usage in a chunk of its own, after the text, the thoughts and the calls.

A call is a whole object: its arguments are never split, and what is no JSON object cannot be said. A turn with such a
call has none of its calls and ends as MALFORMED_FUNCTION_CALL, as the provider ends it; at the length limit the calls
that are whole remain. A turn that the filter stops before it says anything is a blocked prompt: no candidates at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_agent.llm.gemini_checks import check, read_json_object
from pytest_agent.llm.gemini_errors import error_object, error_reply, refusal
from pytest_agent.llm.gemini_wire import JSON, SSE, Framing, asked, field, listed, version_of
from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Message, ModelRequest, WireRequest
from pytest_agent.llm.turn import Stop, ToolCall, Turn, Usage
from pytest_agent.llm.wire import WORDS, dump, usage_of, wire_name

_METHODS = ("generateContent", "streamGenerateContent")
_STOPS: dict[Stop, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "stop_sequence": "STOP",
    "pause": "OTHER",
    "context_window": "MAX_TOKENS",
}


class _Listed(BadRequest):
    """Refused where the reply would have been a list."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One piece of a turn: the part of the content, and what the record says of it."""

    part: dict[str, Any]
    delta: Delta | None = None


class Gemini:
    """The codec. It keeps no state: the same turn and request give the same bytes.

    `framing` and `version` are those of one request; `decode` gives a request the codec that has them.
    """

    name = "Gemini"
    keep_alive = b"\r\n"
    """An empty line: the SDK takes a comment, which other providers send, for JSON that is broken."""

    def __init__(self, framing: Framing = "plain", version: str = "v1") -> None:
        self._framing = framing
        self._version = version

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in models/{model}:generateContent or :streamGenerateContent, on any host."""
        found = asked(path) if method == "POST" else None
        return found is not None and found[1] in _METHODS

    def decode(self, wire: WireRequest) -> ModelRequest:
        """The request. Raises BadRequest for what the provider refuses; see `gemini_checks`."""
        model, method = asked(wire.path) or ("", "")
        stream = method == "streamGenerateContent"
        framing: Framing = "plain" if not stream else "sse" if "alt=sse" in wire.query.split("&") else "array"
        try:
            data = read_json_object(wire)
            check(data)
        except BadRequest as error:
            if framing == "array":
                raise _Listed(str(error), error.param, error.code, about=error.about) from error
            raise
        return ModelRequest(
            codec=Gemini(framing, version_of(wire.path)),
            model=model,
            messages=listed(field(data, "contents")),
            tools=tuple(_declared(data)),
            stream=stream,
            include_usage=True,
            body_sha256=hashlib.sha256(wire.path.encode() + b"\n" + wire.body).hexdigest(),
            retry_count=0,
            idempotency_key=None,
            data=data,
        )

    def history(self, data: Mapping[str, Any]) -> tuple[Message, ...]:
        """The contents with their text alone, without thoughts; each response of a function is a message of its own."""
        system = field(data, "systemInstruction")
        said = [Message("system", _text(system) if isinstance(system, dict) else str(system))] if system else []
        return (*said, *(made for content in listed(field(data, "contents")) for made in _messages(content)))

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn in one object, or in one for each piece of it."""
        used = usage_of(turn, request)
        said, finish = _said(turn, request, n)
        tail = {"usageMetadata": _usage(used), "modelVersion": request.model, "responseId": f"resp_{n}"}
        if not said and turn.stop_reason == "content_filter":
            tail["usageMetadata"] = _usage(Usage(used.input_tokens, 0, used.cached_tokens))
            return self._reply([Chunk(dump({"promptFeedback": {"blockReason": "SAFETY"}, **tail}), terminal=True)])
        if not request.stream:
            deltas = tuple(piece.delta for piece in said if piece.delta is not None)
            last = _candidate([piece.part for piece in said], finish)
            return self._reply([Chunk(dump({**last, **tail}), terminal=True, deltas=deltas)])
        head = {"modelVersion": request.model, "responseId": f"resp_{n}"}
        chunks = [
            Chunk(dump({**_candidate([piece.part], {}), **head}), deltas=() if piece.delta is None else (piece.delta,))
            for piece in said
        ]
        last = _candidate([{"text": ""}] if said else [], finish)
        return self._reply([*chunks, Chunk(dump({**last, **tail}), terminal=True)])

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """Status and body as documented; for `content_filter`, which is no error here, a prompt that is blocked."""
        if kind == "content_filter":
            blocked = Chunk(dump({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}), terminal=True)
            reply = self._reply([blocked])
            return Reply(
                200, reply.headers, reply.chunks, reply.streamed, words=reply.words, error_code=kind, meant=False
            )
        return error_reply(kind, request, self._version, self._framing, retry_after)

    def error_event(self, kind: ErrorKind) -> Chunk:
        """The error object alone in a `data:` line."""
        return Chunk(_sse(dump({"error": error_object(kind)})))

    def refuse(self, error: BadRequest) -> Reply:
        """400 `INVALID_ARGUMENT`."""
        return refusal(error, "array" if isinstance(error, _Listed) else "plain")

    def _reply(self, objects: list[Chunk]) -> Reply:
        if self._framing == "plain":
            return Reply(200, (JSON,), tuple(objects), words=self)
        if self._framing == "sse":
            chunks = tuple(Chunk(_sse(chunk.data), terminal=chunk.terminal, deltas=chunk.deltas) for chunk in objects)
            return Reply(200, (SSE,), chunks, streamed=True, words=self, whole=len(chunks))
        chunks = tuple(
            Chunk((b",\r\n" if place else b"[") + chunk.data, terminal=chunk.terminal, deltas=chunk.deltas)
            for place, chunk in enumerate(objects)
        )
        # A list has no words for anything but its items: there is no keep-alive in it, and no error.
        closed = (*chunks, Chunk(b"]\r\n"))
        return Reply(200, (JSON,), closed, streamed=True, whole=len(closed))


def _said(turn: Turn, request: ModelRequest, n: int) -> tuple[list[_Said], dict[str, str]]:
    """The pieces of a turn, which are its parts where it is not streamed, and how it finishes."""
    said = [_Said({"text": piece, "thought": True}) for piece in _pieces(turn.reasoning, request)]
    said += [_Said({"text": piece}, Delta(text=piece)) for piece in _pieces(turn.refusal or turn.text, request)]
    finish = {"finishReason": _STOPS[turn.stop_reason]}
    whole = [(place, call, args) for place, call in enumerate(turn.calls) if (args := _args(call)) is not None]
    if len(whole) < len(turn.calls) and finish["finishReason"] != "MAX_TOKENS":
        names = ", ".join(f"{call.name}({call.arguments})" for call in turn.calls if _args(call) is None)
        return said, {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": f"Malformed function call: {names}"}
    for place, call, args in whole:
        name = wire_name(call.name, request.tools)
        id_ = f"call_{n}_{place}" if call.id is None else call.id
        part: dict[str, Any] = {"functionCall": {"name": name, "args": args} | ({"id": id_} if id_ else {})}
        if turn.reasoning and place == 0:
            part["thoughtSignature"] = _signature(turn.reasoning)
        said.append(_Said(part, Delta(index=place, name=name, id=id_, arguments=call.arguments)))
    return said, finish


def _pieces(text: str | None, request: ModelRequest) -> list[str]:
    return [] if not text else WORDS.findall(text) if request.stream else [text]


def _args(call: ToolCall) -> dict[str, Any] | None:
    """The arguments as the object that this wire has; None where they are none."""
    try:
        args = json.loads(call.arguments) if call.arguments.strip() else {}
    except (ValueError, RecursionError):
        return None
    return args if isinstance(args, dict) else None


def _candidate(parts: list[dict[str, Any]], finish: dict[str, str]) -> dict[str, Any]:
    content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    return {"candidates": [{"content": content, **finish, "index": 0}]}


def _usage(used: Usage) -> dict[str, int]:
    """The tokens as they are counted here: thoughts are not part of the candidates, the cached are of the prompt."""
    usage = {"promptTokenCount": used.input_tokens}
    if used.output_tokens - used.reasoning_tokens > 0:
        usage["candidatesTokenCount"] = used.output_tokens - used.reasoning_tokens
    usage["totalTokenCount"] = used.input_tokens + used.output_tokens
    if used.cached_tokens:
        usage["cachedContentTokenCount"] = used.cached_tokens
    if used.reasoning_tokens:
        usage["thoughtsTokenCount"] = used.reasoning_tokens
    return usage


def _signature(thought: str) -> str:
    return base64.b64encode(hashlib.sha256(thought.encode("utf-8", "surrogatepass")).digest()).decode()


def _sse(data: bytes) -> bytes:
    return b"data: " + data + b"\r\n\r\n"


def _declared(data: Mapping[str, Any]) -> Iterator[str]:
    for tool in listed(field(data, "tools")):
        for declared in listed(field(tool, "functionDeclarations")):
            yield declared["name"]


def _messages(content: Mapping[str, Any]) -> Iterator[Message]:
    parts = listed(content["parts"])
    for part in parts:
        response = field(part, "functionResponse")
        if response is not None:
            yield Message("tool", _result(response.get("response")), call_id=response.get("id"), name=response["name"])
    calls = tuple(
        ToolCall(call["name"], json.dumps(call.get("args") or {}, ensure_ascii=False), call.get("id"))
        for part in parts
        if (call := field(part, "functionCall")) is not None
    )
    text = _text(content)
    if text or calls or not any(field(part, "functionResponse") for part in parts):
        yield Message("assistant" if content.get("role") == "model" else "user", text, calls)


def _text(content: Mapping[str, Any]) -> str:
    parts = listed(content.get("parts"))
    texts = [part.get("text") for part in parts if isinstance(part, dict) and not part.get("thought")]
    return "\n".join(text for text in texts if isinstance(text, str))


def _result(response: object) -> str:
    """What a function gave: the text alone where the SDK wrapped one, else JSON."""
    inner = response
    if isinstance(response, dict) and len(response) == 1:
        inner = next((response[key] for key in ("result", "output", "error") if key in response), response)
    return inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
