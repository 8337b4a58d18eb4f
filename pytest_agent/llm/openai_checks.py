"""What OpenAI refuses in the parameters of a request: its own words, `param` and `code`.

What it does not know it refuses too, which is left out here: the same wire is spoken by many hosts with fields of
their own. Two tools of one name it takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_agent.llm.openai_wire import declared, is_reasoning
from pytest_agent.llm.request import BadRequest

About = Literal["history", "request"]
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_NAME = 64
_OLD = re.compile(r"(?:^|/)gpt-[34]")
_NO_EFFORT = re.compile(r"gpt-5\.\d")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter has to be, and between which numbers; `words` is how the provider calls that."""

    words: str
    types: tuple[type, ...]
    least: float | None = None
    most: float | None = None


DECIMAL, INTEGER = "a decimal", "an integer"
BOOLEAN = Kind("a boolean", (bool,))
STRING = Kind("a string", (str,))
OBJECT = Kind("an object", (dict,))
OBJECTS = Kind("an array of objects", (list,))
COMMON: dict[str, Kind] = {
    "model": STRING,
    "stream": BOOLEAN,
    "store": BOOLEAN,
    "parallel_tool_calls": BOOLEAN,
    "temperature": Kind(DECIMAL, (int, float), 0, 2),
    "top_p": Kind(DECIMAL, (int, float), 0, 1),
    "top_logprobs": Kind(INTEGER, (int,), 0, 20),
    "stream_options": OBJECT,
    "metadata": OBJECT,
    "tools": OBJECTS,
    "tool_choice": Kind("one of a string or object", (str, dict)),
    "user": STRING,
}


def check_types(data: Mapping[str, Any], kinds: Mapping[str, Kind], where: str = "", about: About = "request") -> None:
    """Raise BadRequest for the first field that is not of its kind, or out of its bounds; null is as good as absent."""
    for name, kind in kinds.items():
        value = data.get(name)
        if value is None:
            continue
        param = f"{where}{name}"
        if not isinstance(value, kind.types) or (isinstance(value, bool) and bool not in kind.types):
            raise wrong_type(param, kind.words, value, about)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_bounds(param, kind, value)


def _check_bounds(param: str, kind: Kind, value: float) -> None:
    word = "integer" if kind.words == INTEGER else "decimal"
    if kind.least is not None and value < kind.least:
        raise BadRequest(
            f"Invalid '{param}': {word} below minimum value. "
            f"Expected a value >= {kind.least:g}, but got {value} instead.",
            param,
            f"{word}_below_min_value",
        )
    if kind.most is not None and value > kind.most:
        raise BadRequest(
            f"Invalid '{param}': {word} above maximum value. "
            f"Expected a value <= {kind.most:g}, but got {value} instead.",
            param,
            f"{word}_above_max_value",
        )


def wrong_type(param: str, expected: str, value: object, about: About = "request") -> BadRequest:
    """The refusal of a value of another type."""
    return BadRequest(
        f"Invalid type for '{param}': expected {expected}, but got {_type_of(value)} instead.",
        param,
        "invalid_type",
        about=about,
    )


def missing(param: str, about: About = "request") -> BadRequest:
    """The refusal of a request that lacks what it must have."""
    return BadRequest(f"Missing required parameter: '{param}'.", param, "missing_required_parameter", about=about)


def empty(param: str, about: About = "request") -> BadRequest:
    """The refusal of an array with nothing in it."""
    return BadRequest(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        param,
        "empty_array",
        about=about,
    )


def not_among(param: str, value: object, supported: Sequence[str], about: About = "request") -> BadRequest:
    """The refusal of a word that is none of those there are."""
    *head, last = [f"'{word}'" for word in supported]
    words = f"{', '.join(head)}, and {last}" if len(head) > 1 else " and ".join([*head, last])
    said = f"'{value}'" if isinstance(value, str) else str(value)
    return BadRequest(f"Invalid value: {said}. Supported values are: {words}.", param, "invalid_value", about=about)


def check_name(param: str, name: object, about: About = "request") -> None:
    """Raise BadRequest for what is no name of a function."""
    if name is None:
        raise missing(param, about)
    if not isinstance(name, str):
        raise wrong_type(param, "a string", name, about)
    if not name:
        raise empty_string(param, about)
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"Invalid '{param}': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            param,
            "invalid_value",
            about=about,
        )
    if len(name) > _LONGEST_NAME:
        raise BadRequest(
            f"Invalid '{param}': string too long. Expected a string with maximum length {_LONGEST_NAME}, "
            f"but got a string with length {len(name)} instead.",
            param,
            "string_above_max_length",
            about=about,
        )


def empty_string(param: str, about: About = "request") -> BadRequest:
    """The refusal of a string with nothing in it."""
    return BadRequest(
        f"Invalid '{param}': empty string. Expected a string with minimum length 1, but got an empty string instead.",
        param,
        "empty_string",
        about=about,
    )


def check_reasoning(data: Mapping[str, Any], limit: str, code: str | None) -> None:
    """Raise BadRequest for what a model that reasons does not take. `limit` is the word for its longest answer."""
    model = data["model"]
    if not is_reasoning(model):
        return
    if data.get("max_tokens") is not None:
        raise BadRequest(
            f"Unsupported parameter: 'max_tokens' is not supported with this model. Use '{limit}' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    # GPT-5.1 and later do not reason when told so, and take these then.
    if _effort(data) == "none" and _NO_EFFORT.search(model):
        return
    if data.get("temperature") not in (None, 1):
        if code is None:
            raise _unsupported("temperature", None)
        raise BadRequest(
            f"Unsupported value: 'temperature' does not support {data['temperature']} with this model. "
            "Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        )
    for name, neutral in (("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0), ("logprobs", False)):
        if data.get(name) not in (None, neutral):
            raise _unsupported(name, code)
    if data.get("stop"):
        raise _unsupported("stop", code)


def check_effort(data: Mapping[str, Any]) -> None:
    """Raise BadRequest for an effort of reasoning where a model has none."""
    if data.get("reasoning_effort") is not None and _OLD.search(data["model"]):
        raise BadRequest("Unrecognized request argument supplied: reasoning_effort")


def _effort(data: Mapping[str, Any]) -> object:
    reasoning = data.get("reasoning")
    return reasoning.get("effort") if isinstance(reasoning, dict) else data.get("reasoning_effort")


def _unsupported(name: str, code: str | None) -> BadRequest:
    return BadRequest(f"Unsupported parameter: '{name}' is not supported with this model.", name, code)


def check_tools(data: Mapping[str, Any], *, nested: bool, about_nothing: bool) -> None:
    """Raise BadRequest for tools that are none. `nested`: a function stands in an object of its own.

    `about_nothing`: words about tools are refused where there are none.
    """
    tools = data.get("tools") or ()
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise wrong_type(where, "an object", tool)
        if tool.get("type") is None:
            raise missing(f"{where}.type")
        if tool["type"] == "function":
            function = tool.get("function") if nested else tool
            place = f"{where}.function" if nested else where
            if function is None:
                raise missing(place)
            if not isinstance(function, dict):
                raise wrong_type(place, "an object", function)
            check_name(f"{place}.name", function.get("name"))
            check_types(function, {"description": STRING, "parameters": OBJECT, "strict": BOOLEAN}, f"{place}.")
            if function.get("strict") is True:
                what, param = f"function '{function['name']}'", f"{place}.parameters"
                check_schema(what, function.get("parameters"), param, "invalid_function_parameters")
    _check_choice(data, nested=nested)
    if about_nothing and not tools:
        for name in ("tool_choice", "parallel_tool_calls"):
            if data.get(name) not in (None, "none"):
                raise BadRequest(
                    f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name
                )


def _check_choice(data: Mapping[str, Any], *, nested: bool) -> None:
    choice = data.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise not_among("tool_choice", choice, ("none", "auto", "required"))
    if isinstance(choice, str) and choice == "required" and not data.get("tools") and not nested:
        raise BadRequest("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return
    function = choice.get("function") if nested else choice
    name = function.get("name") if isinstance(function, dict) else None
    if name is None:
        raise missing("tool_choice.function.name" if nested else "tool_choice.name")
    # Where there are no tools at all, Chat Completions has other words for it.
    if name not in declared(data.get("tools")) and (data.get("tools") or not nested):
        raise BadRequest("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")


def check_schema(what: str, schema: object, param: str, code: str | None = None) -> None:
    """Raise BadRequest for a schema that the strict form of structured output does not take."""
    for path, problem in _problems(schema, ()):
        raise BadRequest(f"Invalid schema for {what}: In context={path!r}, {problem}", param, code)


def _problems(schema: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield path, "'additionalProperties' is required to be supplied and to be false."
        properties = schema.get("properties")
        required = schema.get("required")
        for key in properties if isinstance(properties, dict) else ():
            if not isinstance(required, list) or key not in required:
                yield (
                    path,
                    "'required' is required to be supplied and to be an array including every key in properties. "
                    f"Missing '{key}'.",
                )
    for group in ("properties", "$defs", "definitions"):
        named = schema.get(group)
        for key, inner in named.items() if isinstance(named, dict) else ():
            yield from _problems(inner, (*path, group, str(key)))
    yield from _problems(schema.get("items"), (*path, "items"))
    choices = schema.get("anyOf")
    for index, inner in enumerate(choices if isinstance(choices, list) else ()):
        yield from _problems(inner, (*path, "anyOf", str(index)))


def _type_of(value: object) -> str:
    words = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    if isinstance(value, list) and not value:
        return "an empty array"
    return words.get(type(value), "null")
