"""What Anthropic refuses with a 400, in its own words.

A history is at fault where no other setting would make it acceptable: calls without results, results without calls,
empty text, white space at the end of what the model is to go on with, half of a surrogate pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from pytest_agent.llm.request import BadRequest, WireRequest
from pytest_agent.llm.strict_json import NotJson, read_json

_KNOWN = frozenset(
    {
        "billing_policy",
        "cache_control",
        "compaction",
        "container",
        "context_management",
        "diagnostics",
        "fallback_credit_token",
        "fallbacks",
        "inference_geo",
        "max_tokens",
        "mcp_servers",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "thread",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "user_profile_id",
        "workspace_id",
    }
)
_KINDS: dict[str, tuple[type, str]] = {
    "model": (str, "string"),
    "messages": (list, "list"),
    "max_tokens": (int, "integer"),
    "stream": (bool, "boolean"),
    "tools": (list, "list"),
    "stop_sequences": (list, "list"),
    "metadata": (dict, "dictionary"),
    "thinking": (dict, "dictionary"),
    "tool_choice": (dict, "dictionary"),
}
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}\Z")
_ROLES = ("user", "assistant", "system")


def read_body(wire: WireRequest, required: tuple[str, ...]) -> dict[str, Any]:
    """The body of a request, checked. Raises BadRequest for what the provider refuses."""
    if wire.headers.get("anthropic-version") is None:
        raise BadRequest("anthropic-version: header is required", "anthropic-version")
    try:
        data = read_json(wire.body)
    except NotJson as error:
        said = f"The request body is not valid JSON: {error}"
        raise BadRequest(said, about="history" if error.lone else "request") from error
    if not isinstance(data, dict):
        raise BadRequest("Input should be a valid dictionary")
    _check_fields(data, required)
    _check_tools(data.get("tools"))
    _check_sampling(data)
    _check_messages(data["messages"])
    return data


def _check_fields(data: Mapping[str, Any], required: tuple[str, ...]) -> None:
    for field in required:
        if field not in data:
            raise BadRequest(f"{field}: Field required", field)
    for field in data:
        if field not in _KNOWN:
            raise BadRequest(f"{field}: Extra inputs are not permitted", field)
    for field, (kind, word) in _KINDS.items():
        value = data.get(field)
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if wrong and (value is not None or field in required):
            raise BadRequest(f"{field}: Input should be a valid {word}", field)
    system = data.get("system")
    if system is not None and not isinstance(system, (str, list)):
        raise BadRequest("system: Input should be a valid list", "system")
    empty = _empty_text(system) if isinstance(system, list) else None
    if empty is not None:
        raise BadRequest(f"system: {empty}", "system")
    most = data.get("max_tokens")
    if most is not None and most < 1:
        raise BadRequest("max_tokens: Input should be greater than or equal to 1", "max_tokens")
    if not data["model"]:
        raise BadRequest("model: String should have at least 1 character", "model")
    if not data["messages"]:
        raise BadRequest("messages: at least one message is required", "messages", about="history")


def _check_tools(tools: list[Any] | None) -> None:
    seen = set()
    for index, tool in enumerate(tools or ()):
        if not isinstance(tool, dict):
            raise BadRequest(f"tools.{index}: Input should be a valid dictionary", "tools")
        name, kind = tool.get("name"), tool.get("type") or "custom"
        if kind == "mcp_toolset":
            continue
        if not isinstance(name, str):
            raise BadRequest(f"tools.{index}.{kind}.name: Field required", "tools")
        if _TOOL_NAME.match(name) is None:
            pattern = "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"
            raise BadRequest(f"tools.{index}.{kind}.name: {pattern}", "tools")
        if kind == "custom" and not isinstance(tool.get("input_schema"), dict):
            raise BadRequest(f"tools.{index}.custom.input_schema: Field required", "tools")
        if name in seen:
            raise BadRequest("tools: Tool names must be unique.", "tools")
        seen.add(name)


def _check_sampling(data: Mapping[str, Any]) -> None:
    temperature, thinking = data.get("temperature"), data.get("thinking") or {}
    if temperature is not None:
        if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
            raise BadRequest("temperature: Input should be a valid number", "temperature")
        if not 0 <= temperature <= 1:
            raise BadRequest("temperature: range: 0..1", "temperature")
    if thinking.get("type") not in ("enabled", "adaptive"):
        return
    if temperature not in (None, 1):
        raise BadRequest(
            "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.", "temperature"
        )
    budget, most = thinking.get("budget_tokens"), data.get("max_tokens")
    if thinking["type"] == "enabled":
        if not isinstance(budget, int) or isinstance(budget, bool):
            raise BadRequest("thinking.enabled.budget_tokens: Field required", "thinking")
        if budget < 1024:
            message = "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
            raise BadRequest(message, "thinking")
        if most is not None and most <= budget:
            raise BadRequest("`max_tokens` must be greater than `thinking.budget_tokens`.", "max_tokens")


def _check_messages(messages: list[Any]) -> None:
    asked: tuple[str, ...] = ()
    known: set[str] = set()
    before = ""
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        role, content = _checked(message, where)
        if role == "system" and index == 0:
            said = (
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
                'not "system" as an input message role.'
            )
            _history(said, where)
        if role == "assistant" and index == 0:
            _history('messages: first message must use the "user" role', where)
        if before != role:
            # What one side says in a row counts as one message.
            _check_pairs(asked, messages, index)
            asked = ()
        if role == "assistant":
            asked += tuple(_asked(content, where, known))
        before = role
        if not content and not (role == "assistant" and index == len(messages) - 1):
            said = "all messages must have non-empty content except for the optional final assistant message"
            _history(f"{where}: {said}", where)
        empty = _empty_text(content)
        if empty is not None:
            _history(f"messages: {empty}", where)
    if asked:
        _unanswered(asked, len(messages) - 1)
    if before == "assistant" and content and str(content[-1].get("text", "")).rstrip() != content[-1].get("text", ""):
        _history("messages: final assistant content cannot end with trailing whitespace", where)


def _checked(message: object, where: str) -> tuple[str, list[dict[str, Any]]]:
    """Role and blocks of a message; a text alone is one block."""
    if not isinstance(message, dict):
        _history(f"{where}: Input should be a valid dictionary", where)
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        _history(f"{where}.role: Input should be 'user' or 'assistant'", where)
    if content is None:
        _history(f"{where}.content: Field required", where)
    if isinstance(content, str):
        return role, [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        _history(f"{where}.content: Input should be a valid list", where)
    for place, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            _history(f"{where}.content.{place}.type: Field required", where)
        if block["type"] == "tool_use" and not isinstance(block.get("input"), dict):
            _history(f"{where}.content.{place}.tool_use.input: Input should be a valid dictionary", where)
    return role, content


def _asked(content: list[dict[str, Any]], where: str, known: set[str]) -> Iterator[str]:
    """The ids of the calls in a message of the model, which join those that are `known`."""
    for place, block in enumerate(content):
        if block["type"] != "tool_use":
            continue
        id_ = block.get("id")
        if not isinstance(id_, str) or re.fullmatch(r"[a-zA-Z0-9_-]+", id_) is None:
            pattern = "String should match pattern '^[a-zA-Z0-9_-]+$'"
            _history(f"{where}.content.{place}.tool_use.id: {pattern}", where)
        if id_ in known:
            _history(f"{where}.content.{place}: `tool_use` ids must be unique", where)
        known.add(id_)
        yield id_


def _check_pairs(asked: tuple[str, ...], messages: list[Any], index: int) -> None:
    """The turn that begins at `index` answers each call of the turn before it once, first of all, and no other."""
    role, results, late = messages[index].get("role"), [], False
    for place in range(index, len(messages)):
        message = messages[place]
        if not isinstance(message, dict) or message.get("role") != role:
            break
        content = message.get("content")
        for at, block in enumerate(content if isinstance(content, list) else [content]):
            if not isinstance(block, dict) or block.get("type") != "tool_result":
                late = True
                continue
            id_, where = block.get("tool_use_id"), f"messages.{place}"
            if role != "user":
                _history(f"{where}: `tool_result` blocks can only be in `user` messages", where)
            if id_ not in asked:
                said = (
                    f"{where}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
                _history(said, where)
            if id_ in results:
                said = f"each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id_}"
                _history(f"{where}.content.{at}: {said}", where)
            if not late:
                results.append(id_)
    missing = tuple(id_ for id_ in asked if id_ not in results)
    if missing:
        _unanswered(missing, index - 1)


def _unanswered(ids: tuple[str, ...], index: int) -> NoReturn:
    _history(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        f"messages.{index}",
    )


def _empty_text(blocks: list[Any]) -> str | None:
    """What is wrong with a text that says nothing, in the result of a tool too; None where there is none."""
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "tool_result" and isinstance(block.get("content"), list):
            inside = _empty_text(block["content"])
            if inside is not None:
                return inside
        text = block.get("text", "") if kind == "text" else None
        if text is not None and not (isinstance(text, str) and text.strip()):
            return f"text content blocks {'must contain non-whitespace text' if text else 'must be non-empty'}"
    return None


def _history(message: str, where: str) -> NoReturn:
    raise BadRequest(message, where, about="history")
