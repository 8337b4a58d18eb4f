"""Requests in the Chat Completions format, and the tool names it allows."""

from __future__ import annotations

import json
import re
from typing import Any

from agentfsm.turns import Message, ModelRequest, Turn


def wire_name(name: str) -> str:
    """Return a name the API accepts: letters, digits, `_` and `-`, at most 64."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or "_"


def own_names(turn: Turn, request: ModelRequest) -> Turn:
    """Return the turn with tool names as the contracts have them; an unknown name stays as it is."""
    ours = {wire_name(tool["name"]): tool["name"] for tool in request.tools}
    calls = tuple(call.model_copy(update={"name": ours.get(call.name, call.name)}) for call in turn.calls)
    return turn.model_copy(update={"calls": calls})


def body_of(request: ModelRequest, model: str, *, stream: bool) -> dict[str, Any]:
    """Return the request body; the same request gives the same bytes."""
    body: dict[str, Any] = {"model": model, "messages": [_message(m) for m in request.messages]}
    if request.tools:
        body["tools"] = [
            {"type": "function", "function": {**tool, "name": wire_name(tool["name"])}} for tool in request.tools
        ]
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def sendable(arguments: str) -> str:
    """Return the arguments if they are an object: some providers refuse any other history."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.calls:
        body["content"] = message.text or None
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": wire_name(call.name), "arguments": sendable(call.arguments)},
            }
            for call in message.calls
        ]
    return body
