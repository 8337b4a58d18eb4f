"""OpenAI Responses on the wire, plain and streamed.

Source: the `openai` SDK's own types and what its `.stream()` requires: `response.created` first, every item added
with its id and type before its content, indexes that agree, and `response.completed` with the whole output. A turn
that is cut ends with `response.incomplete` and has no stop reason but that.

`previous_response_id` and `conversation` are taken; the history is what is sent, since nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_agent.llm import openai_wire
from pytest_agent.llm.openai_checks import (
    COMMON,
    INTEGER,
    OBJECT,
    STRING,
    Kind,
    check_reasoning,
    check_schema,
    check_tools,
    check_types,
    missing,
    not_among,
)
from pytest_agent.llm.openai_events import Events
from pytest_agent.llm.openai_items import check_input, history_of, items_of
from pytest_agent.llm.openai_wire import CREATED, call_ids, read_body, success_headers
from pytest_agent.llm.reply import Chunk, Delta, ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import BadRequest, Message, ModelRequest, WireRequest
from pytest_agent.llm.turn import Stop, Turn, Usage
from pytest_agent.llm.wire import dump, usage_of, wire_name

_KINDS: dict[str, Kind] = {
    **COMMON,
    "instructions": STRING,
    "max_output_tokens": Kind(INTEGER, (int,), 16),
    "max_tool_calls": Kind(INTEGER, (int,), 1),
    "previous_response_id": STRING,
    "text": OBJECT,
    "reasoning": OBJECT,
    "include": Kind("an array of strings", (list,)),
    "background": Kind("a boolean", (bool,)),
    "truncation": STRING,
}
_MOVED = {"messages": "input", "max_tokens": "max_output_tokens", "response_format": "text.format"}
_CUT: dict[Stop, str] = {
    "length": "max_output_tokens",
    "context_window": "max_output_tokens",
    "content_filter": "content_filter",
}


class OpenAIResponses:
    """The codec. It keeps no state: the same turn and request give the same bytes."""

    name = "OpenAI Responses"

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /responses, on any host."""
        return method == "POST" and path.rstrip("/").endswith("/responses")

    def decode(self, wire: WireRequest) -> ModelRequest:
        """The request, checked as the provider does: JSON, the input, the types of parameters, tools, the model."""
        data = read_body(wire, "input")
        if not data.get("model"):
            raise missing("model")
        check_types(data, {"model": STRING})
        for old, new in _MOVED.items():
            if old in data:
                raise BadRequest(
                    f"Unsupported parameter: '{old}'. In the Responses API, this parameter has moved to '{new}'. "
                    "Try again with the new parameter. See the API documentation for more information: "
                    "https://platform.openai.com/docs/api-reference/responses/create.",
                    old,
                    "unsupported_parameter",
                )
        check_input(data)
        check_types(data, _KINDS)
        check_tools(data, nested=False, about_nothing=False)
        check_reasoning(data, "max_output_tokens", None)
        _check_format(data)
        return openai_wire.decoded(self, wire, data, items_of(data))

    def history(self, data: Mapping[str, Any]) -> tuple[Message, ...]:
        """The items of the input as messages, the instructions first."""
        return tuple(history_of(data))

    def encode(self, turn: Turn, request: ModelRequest, n: int) -> Reply:
        """The turn in one body, or as one chunk of the body for each SSE event."""
        frame = _frame(request.data, n)
        output = _output(turn, request, n)
        reason = _CUT.get(turn.stop_reason)
        whole = {
            **frame,
            "status": "incomplete" if reason else "completed",
            "completed_at": None if reason else CREATED,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": output,
            "usage": _usage(usage_of(turn, request)),
        }
        events = Events(frame)
        headers = success_headers(n, stream=request.stream)
        if not request.stream:
            body = Chunk(dump(whole), terminal=True, deltas=tuple(_deltas(output)))
            return Reply(200, headers, (body,), words=events)
        chunks = tuple(events.stream(whole))
        return Reply(200, headers, chunks, streamed=True, words=events, whole=len(chunks))

    def error(self, kind: ErrorKind, request: ModelRequest | None, *, retry_after: RetryAfter | None = None) -> Reply:
        """Status and body as documented, with the header that names a pause where one is given."""
        return openai_wire.error_reply(kind, request, retry_after, "input")

    def refuse(self, error: BadRequest) -> Reply:
        """400 `invalid_request_error`."""
        return openai_wire.refusal(error)


def _check_format(data: Mapping[str, Any]) -> None:
    said = (data.get("text") or {}).get("format")
    if not isinstance(said, dict):
        return
    kind = said.get("type")
    if kind not in ("json_object", "json_schema", "text"):
        raise not_among("text.format.type", kind, ("json_object", "json_schema", "text"))
    if kind == "json_schema":
        for name in ("name", "schema"):
            if not said.get(name):
                raise missing(f"text.format.{name}")
        if said.get("strict") is True:
            check_schema(f"response_format '{said['name']}'", said["schema"], "text.format.schema")


def _frame(data: Mapping[str, Any], n: int) -> dict[str, Any]:
    """The response before anything is said, with what was asked for told back."""
    reasoning = data.get("reasoning") or {}
    return {
        "id": f"resp_{n}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": data.get("instructions"),
        "max_output_tokens": data.get("max_output_tokens"),
        "max_tool_calls": data.get("max_tool_calls"),
        "model": data["model"],
        "output": [],
        "parallel_tool_calls": data.get("parallel_tool_calls") is not False,
        "previous_response_id": data.get("previous_response_id"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "store": data.get("store") is not False,
        "temperature": 1.0 if data.get("temperature") is None else data["temperature"],
        "text": {"format": {"type": "text"}, **(data.get("text") or {})},
        "tool_choice": data.get("tool_choice") or "auto",
        "tools": data.get("tools") or [],
        "top_p": 1.0 if data.get("top_p") is None else data["top_p"],
        "truncation": data.get("truncation") or "disabled",
        "usage": None,
        "user": data.get("user"),
        "metadata": data.get("metadata") or {},
    }


def _output(turn: Turn, request: ModelRequest, n: int) -> list[dict[str, Any]]:
    """The items of the whole turn; the last of one that is cut is incomplete."""
    items: list[dict[str, Any]] = []
    if turn.reasoning is not None:
        summary = [{"type": "summary_text", "text": turn.reasoning}] if turn.reasoning else []
        thought: dict[str, Any] = {"id": f"rs_{n}", "type": "reasoning", "summary": summary}
        if "reasoning.encrypted_content" in (request.data.get("include") or ()):
            thought["encrypted_content"] = f"encrypted-{n}"
        items.append(thought)
    if turn.refusal or turn.text is not None:
        part: dict[str, Any] = (
            {"type": "refusal", "refusal": turn.refusal}
            if turn.refusal
            else {"type": "output_text", "annotations": [], "logprobs": [], "text": turn.text}
        )
        items.append(
            {"id": f"msg_{n}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
        )
    for index, (call, id_) in enumerate(zip(turn.calls, call_ids(turn, n), strict=True)):
        items.append(
            {
                "id": f"fc_{n}_{index}",
                "type": "function_call",
                "status": "completed",
                "arguments": call.arguments,
                "call_id": id_,
                "name": wire_name(call.name, request.tools),
            }
        )
    if items and turn.stop_reason in _CUT and "status" in items[-1]:
        items[-1]["status"] = "incomplete"
    return items


def _deltas(output: list[dict[str, Any]]) -> list[Delta]:
    calls = [item for item in output if item["type"] == "function_call"]
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    texts = [part.get("text") or part.get("refusal") for part in parts]
    return [
        *(Delta(text=text) for text in texts if text),
        *(
            Delta(index=index, name=call["name"], id=call["call_id"], arguments=call["arguments"])
            for index, call in enumerate(calls)
        ),
    ]


def _usage(said: Usage) -> dict[str, Any]:
    return {
        "input_tokens": said.input_tokens,
        "input_tokens_details": {"cached_tokens": said.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": said.output_tokens,
        "output_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
        "total_tokens": said.input_tokens + said.output_tokens,
    }
