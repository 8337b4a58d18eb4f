"""The input of OpenAI Responses: what it refuses in it, in its own words, and the history that it tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_agent.llm.openai_checks import (
    STRING,
    check_name,
    check_types,
    empty,
    empty_string,
    missing,
    not_among,
    wrong_type,
)
from pytest_agent.llm.request import BadRequest, Message
from pytest_agent.llm.turn import ToolCall

_ROLES = ("assistant", "system", "developer", "user")
_PARTS = ("input_text", "input_image", "output_text", "refusal", "input_file", "computer_screenshot", "summary_text")
_ASSISTANT_PARTS = ("output_text", "refusal")
_NEEDED = {
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = {"function_call_output": "function call output", "custom_tool_call_output": "custom tool call output"}
_TYPES = (
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "message",
    "program",
    "program_output",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
)
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")


def items_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of a request whose input was checked; a string is what the user says."""
    said = data.get("input")
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    return said if isinstance(said, list) else []


def check_input(data: Mapping[str, Any]) -> None:
    """Raise BadRequest about the history for the first item that could not be sent as it is.

    Where the request goes on from an earlier response, its items may answer what stands there, and refer to it.
    """
    said = data.get("input")
    if said is None:
        if not any(data.get(name) for name in _ELSEWHERE):
            raise BadRequest(
                "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided.",
                "input",
                "missing_required_parameter",
                about="history",
            )
        return
    if isinstance(said, str):
        return
    if not isinstance(said, list):
        raise wrong_type("input", "one of a string or array of input items", said, "history")
    if not said:
        raise empty("input", "history")
    for index, item in enumerate(said):
        _check_item(f"input[{index}]", item)
    _check_pairs(said, alone=not any(data.get(name) for name in _ELSEWHERE))


def _check_item(where: str, item: object) -> None:
    if not isinstance(item, dict):
        raise wrong_type(where, "an object", item, "history")
    kind = item.get("type", "message")
    if kind not in _TYPES:
        raise not_among(f"{where}.type", kind, _TYPES, "history")
    if kind == "message":
        _check_message(where, item)
    elif kind in _CALLS:
        _check_id(where, item)
        check_name(f"{where}.name", item.get("name"), "history")
        _check_given(where, item, _CALLS[kind])
    elif kind in _OUTPUTS:
        _check_id(where, item)
        if item.get("output") is None:
            raise missing(f"{where}.output", "history")
        if not isinstance(item["output"], (str, list)):
            raise wrong_type(f"{where}.output", "one of a string or array of objects", item["output"], "history")
    elif kind == "reasoning":
        _check_given(where, item, "summary", list)
    elif kind == "item_reference":
        _check_given(where, item, "id")


def _check_id(where: str, item: dict[str, Any]) -> None:
    _check_given(where, item, "call_id")
    if not item["call_id"]:
        raise empty_string(f"{where}.call_id", "history")


def _check_given(where: str, item: dict[str, Any], name: str, kind: type = str) -> None:
    if item.get(name) is None:
        raise missing(f"{where}.{name}", "history")
    if not isinstance(item[name], kind):
        raise wrong_type(f"{where}.{name}", "a string" if kind is str else "an array", item[name], "history")


def _check_message(where: str, item: dict[str, Any]) -> None:
    role, content = item.get("role"), item.get("content")
    if role is None:
        raise missing(f"{where}.role", "history")
    if role not in _ROLES:
        raise not_among(f"{where}.role", role, _ROLES, "history")
    if content is None:
        raise missing(f"{where}.content", "history")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(f"{where}.content", "one of a string or array of objects", content, "history")
    for index, part in enumerate(content):
        place = f"{where}.content[{index}]"
        if not isinstance(part, dict):
            raise wrong_type(place, "an object", part, "history")
        kind = part.get("type")
        if kind is None:
            raise missing(f"{place}.type", "history")
        supported = _ASSISTANT_PARTS if role == "assistant" else _PARTS
        if kind not in supported:
            raise not_among(place, kind, supported, "history")
        if kind in _NEEDED:
            if part.get(_NEEDED[kind]) is None:
                raise missing(f"{place}.{_NEEDED[kind]}", "history")
            check_types(part, {_NEEDED[kind]: STRING}, f"{place}.", "history")


def _check_pairs(items: Sequence[dict[str, Any]], *, alone: bool) -> None:
    """Every call has its output after it, every output its call before it, what was thought what came of it."""
    referred = any(item.get("type") == "item_reference" for item in items)
    made: dict[str, str] = {}
    for index, item in enumerate(items):
        kind = item.get("type")
        if kind in _CALLS:
            if item["call_id"] in made:
                raise BadRequest(
                    f"Duplicate value for 'call_id' of '{item['call_id']}' in input[{index}]", "input", about="history"
                )
            made[item["call_id"]] = kind
        if kind in _OUTPUTS and alone and not referred and item["call_id"] not in made:
            raise BadRequest(
                f"No tool call found for {_OUTPUTS[kind]} with call_id {item['call_id']}.", "input", about="history"
            )
        if kind == "reasoning" and not _goes_on(items[index + 1 :]):
            raise BadRequest(
                f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item.",
                "input",
                about="history",
            )
    answered = {item["call_id"] for item in items if item.get("type") in _OUTPUTS}
    for id_, kind in made.items():
        if id_ not in answered:
            word = "function call" if kind == "function_call" else "custom tool call"
            raise BadRequest(f"No tool output found for {word} {id_}.", "input", about="history")


def _goes_on(rest: Sequence[dict[str, Any]]) -> bool:
    """Whether what follows a thought is the model's own."""
    if not rest:
        return False
    kind = rest[0].get("type", "message")
    return kind not in _OUTPUTS and (kind != "message" or rest[0]["role"] == "assistant")


def history_of(data: Mapping[str, Any]) -> Iterator[Message]:
    """The items with their text alone; calls that the model made at once are one message of it."""
    if isinstance(data.get("instructions"), str):
        yield Message("system", data["instructions"])
    calls: list[ToolCall] = []
    text: str | None = None
    for item in items_of(data):
        kind = item.get("type", "message")
        if kind in _CALLS:
            calls.append(ToolCall(item["name"], item[_CALLS[kind]], item["call_id"]))
            continue
        of_model = kind == "message" and item["role"] == "assistant"
        if kind not in ("message", *_OUTPUTS) or (of_model and text is None and not calls):
            text = _text(item["content"]) if of_model else text
            continue
        yield from _said(text, calls)
        text, calls = None, []
        if kind in _OUTPUTS:
            yield Message("tool", _text(item["output"]), call_id=item["call_id"])
        elif of_model:
            text = _text(item["content"])
        else:
            yield Message("user" if item["role"] == "user" else "system", _text(item["content"]))
    yield from _said(text, calls)


def _said(text: str | None, calls: Sequence[ToolCall]) -> Iterator[Message]:
    if text is not None or calls:
        yield Message("assistant", text or "", tuple(calls))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    texts = [part.get("text", part.get("refusal")) for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))
