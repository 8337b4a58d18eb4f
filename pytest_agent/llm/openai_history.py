"""What OpenAI Chat Completions refuses in a history, message by message, in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_agent.llm.openai_checks import STRING, check_name, check_types, empty, missing, not_among, wrong_type
from pytest_agent.llm.request import BadRequest

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")
_USERS_ALONE = {"image_url": "Image URLs", "input_audio": "Audio inputs", "file": "Files"}


def check_messages(messages: object) -> None:
    """Raise BadRequest about the history for the first message that could not be sent as it is."""
    if messages is None:
        raise missing("messages", "history")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages, "history")
    if not messages:
        raise empty("messages", "history")
    for index, message in enumerate(messages):
        _check_message(f"messages[{index}]", message)
    _check_order(messages)


def _check_message(where: str, message: object) -> None:
    if not isinstance(message, dict):
        raise wrong_type(where, "an object", message, "history")
    role = message.get("role")
    if role is None:
        raise missing(f"{where}.role", "history")
    if role not in _ROLES:
        raise not_among(f"{where}.role", role, _ROLES, "history")
    check_types(message, {"name": STRING, "refusal": STRING}, f"{where}.", "history")
    if role == "assistant":
        _check_calls(f"{where}.tool_calls", message.get("tool_calls"))
    if role == "tool":
        if message.get("tool_call_id") is None:
            raise missing(f"{where}.tool_call_id", "history")
        check_types(message, {"tool_call_id": STRING}, f"{where}.", "history")
    _check_content(where, role, message)


def _check_content(where: str, role: str, message: dict[str, Any]) -> None:
    content, place = message.get("content"), f"{where}.content"
    if content is None:
        spoken = message.get("tool_calls") or message.get("function_call") or message.get("refusal")
        if role == "function" or (role == "assistant" and (spoken or message.get("audio"))):
            return
        if role != "assistant" and "content" not in message:
            raise missing(place, "history")
        param = place.replace("messages[", "messages.[")
        raise BadRequest("Invalid value for 'content': expected a string, got null.", param, about="history")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(place, "one of a string or array of objects", content, "history")
    if not content:
        raise empty(place, "history")
    for index, part in enumerate(content):
        _check_part(where, f"{place}[{index}]", role, part)


def _check_part(where: str, place: str, role: str, part: object) -> None:
    if not isinstance(part, dict):
        raise wrong_type(place, "an object", part, "history")
    kind = part.get("type")
    if kind is None:
        raise missing(f"{place}.type", "history")
    if kind not in _PARTS:
        raise not_among(f"{place}.type", kind, _PARTS, "history")
    if kind in _USERS_ALONE and role != "user":
        raise BadRequest(
            f"Invalid '{where}'. {_USERS_ALONE[kind]} are only allowed for messages with role 'user', "
            f"but this message with role '{role}' contains one.",
            where,
            "invalid_value",
            about="history",
        )
    if part.get(kind) is None:
        raise missing(f"{place}.{kind}", "history")
    if kind in ("text", "refusal"):
        check_types(part, {kind: STRING}, f"{place}.", "history")


def _check_calls(place: str, calls: object) -> None:
    if calls is None:
        return
    if not isinstance(calls, list):
        raise wrong_type(place, "an array of objects", calls, "history")
    if not calls:
        raise empty(place, "history")
    for index, call in enumerate(calls):
        at = f"{place}[{index}]"
        if not isinstance(call, dict):
            raise wrong_type(at, "an object", call, "history")
        for name in ("id", "type"):
            if call.get(name) is None:
                raise missing(f"{at}.{name}", "history")
        check_types(call, {"id": STRING, "type": STRING}, f"{at}.", "history")
        kind = "custom" if call["type"] == "custom" else "function"
        function = call.get(kind)
        if function is None:
            raise missing(f"{at}.{kind}", "history")
        if not isinstance(function, dict):
            raise wrong_type(f"{at}.{kind}", "an object", function, "history")
        check_name(f"{at}.{kind}.name", function.get("name"), "history")
        field = "input" if kind == "custom" else "arguments"
        if function.get(field) is None:
            raise missing(f"{at}.{kind}.{field}", "history")
        check_types(function, {field: STRING}, f"{at}.{kind}.", "history")


def _check_order(messages: Sequence[dict[str, Any]]) -> None:
    """Every call is answered, once, before anyone else speaks; and nothing else is answered."""
    made: list[str] = []
    open_: list[str] = []
    for index, message in enumerate(messages):
        param = f"messages.[{index}].role"
        if message["role"] == "tool":
            _check_answer(index, message["tool_call_id"], made, open_)
            open_.remove(message["tool_call_id"])
            continue
        if open_:
            raise _unanswered(open_, param)
        made = [call["id"] for call in message.get("tool_calls") or ()] if message["role"] == "assistant" else []
        twice = next((id_ for place, id_ in enumerate(made) if id_ in made[:place]), None)
        if twice is not None:
            raise _repeated(twice, index)
        open_ = list(made)
    if open_:
        raise _unanswered(open_, f"messages.[{len(messages) - 1}].role")


def _check_answer(index: int, id_: str, made: Sequence[str], open_: Sequence[str]) -> None:
    if not made:
        raise BadRequest(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            f"messages.[{index}].role",
            about="history",
        )
    if id_ not in made:
        raise BadRequest(
            f"Invalid parameter: 'tool_call_id' of '{id_}' not found in 'tool_calls' of previous message.",
            f"messages.[{index}].tool_call_id",
            about="history",
        )
    if id_ not in open_:
        raise _repeated(id_, index)


def _unanswered(ids: Sequence[str], param: str) -> BadRequest:
    return BadRequest(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(ids)}",
        param,
        about="history",
    )


def _repeated(id_: str, index: int) -> BadRequest:
    return BadRequest(
        f"Duplicate value for 'tool_call_id' of '{id_}' in message[{index}]",
        f"messages.[{index}].tool_call_id",
        about="history",
    )
