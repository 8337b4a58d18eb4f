"""What Gemini refuses with a 400, in its own words.

What one side says in a row counts as one turn: the SDK's own chat keeps each piece of a stream as a content by itself.
A part whose text is empty is taken. For half of a surrogate pair no report of the provider's words was found; ours
follow those that its JSON reader has for other strings.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from pytest_agent.llm.gemini_wire import field, listed, snake
from pytest_agent.llm.request import BadRequest, WireRequest
from pytest_agent.llm.strict_json import NotJson, read_json

_TOP = (
    "model contents tools toolConfig safetySettings systemInstruction generationConfig cachedContent serviceTier store "
    "labels modelArmorConfig"
)
_CONFIG = (
    "audioTimestamp audioTranscriptionConfig candidateCount continuationToken enableAffectiveDialog "
    "enableEnhancedCivicAnswers frequencyPenalty imageConfig logprobs maxOutputTokens mediaResolution "
    "modelSelectionConfig presencePenalty responseFormat responseJsonSchema _responseJsonSchema responseLogprobs "
    "responseMimeType responseModalities responseSchema routingConfig seed speechConfig stopSequences temperature "
    "thinkingConfig topK topP translationConfig"
)
_DATA = (
    "text inlineData fileData functionCall functionResponse executableCode codeExecutionResult toolCall toolResponse "
    "audioTranscription"
)
_PART = (
    f"{_DATA} thought thoughtSignature videoMetadata mediaResolution partMetadata mediaProcessing speechMetadata "
    "documentMetadata spreadsheetMetadata audioMetadata"
)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}\Z")
_ROLES = ("user", "model", "function", None, "")

_CALL_FIRST = (
    "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
)
_COUNT = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)
_RESPONSE_FIRST = "Please ensure that function response turn comes immediately after a function call turn."


def _both(names: str) -> frozenset[str]:
    """Each name in both spellings."""
    return frozenset(spelled for name in names.split() for spelled in (name, snake(name)))


_KNOWN = {names: _both(names) for names in (_TOP, _CONFIG, _PART, _DATA, "parts role")}
_FUNCTIONS = (
    ("functionCall", "function_call", "args"),
    ("functionResponse", "function_response", "response"),
)


def read_json_object(wire: WireRequest) -> dict[str, Any]:
    """The body of a request to any route. Raises BadRequest where it is no object."""
    try:
        data = read_json(wire.body)
    except NotJson as error:
        said = f"Invalid JSON payload received. {str(error)[0].upper()}{str(error)[1:]}"
        raise BadRequest(said, about="history" if error.lone else "request") from error
    if not isinstance(data, dict):
        raise BadRequest('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    return data


def check(data: dict[str, Any]) -> None:
    """Raise BadRequest for a generateContent body that the provider refuses."""
    _no_stranger(data, _TOP, "")
    config = field(data, "generationConfig")
    if config is not None:
        _message(config, "generation_config")
        _no_stranger(config, _CONFIG, "generation_config")
        _check_config(config)
    instruction = field(data, "systemInstruction")
    if instruction is not None:
        # Of the SDKs some send a bare text, which the provider reads as one part.
        for part in listed(field(instruction, "parts")) if isinstance(instruction, dict) else ():
            _check_part(part, "system_instruction.parts[0]", "system_instruction.parts[0]")
    _check_tools(listed(field(data, "tools")))
    check_contents(listed(field(data, "contents")))


def check_contents(contents: list[Any]) -> None:
    """Raise BadRequest for a history that the provider refuses."""
    if not contents:
        raise BadRequest("* GenerateContentRequest.contents: contents is not specified\n", "contents", about="history")
    for index, content in enumerate(contents):
        where = f"contents[{index}]"
        _message(content, where, about_history=True)
        _no_stranger(content, "parts role", where)
        if content.get("role") not in _ROLES:
            _history("Please use a valid role: user, model.", where)
        parts = listed(content.get("parts"))
        if not parts:
            said = f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.\n"
            _history(said, where)
        for place, part in enumerate(parts):
            _check_part(part, f"{where}.parts[{place}]", where)
    _check_turns(contents)


def _check_part(part: object, path: str, where: str) -> None:
    _message(part, path, about_history=True)
    if not isinstance(part, dict):
        return
    if not part.keys() <= _KNOWN[_PART]:
        _no_stranger(part, _PART, path)
    if part.keys().isdisjoint(_KNOWN[_DATA]):
        said = f"* GenerateContentRequest.{path}.data: required oneof field 'data' must have one initialized field\n"
        _history(said, where)
    if not isinstance(part.get("text", ""), str):
        _history(f"Invalid value at '{path}.text' (TYPE_STRING), {part['text']!r}", where)
    for name, spelled, inner in _FUNCTIONS:
        said = field(part, name)
        if said is None:
            continue
        _message(said, f"{path}.{spelled}", about_history=True)
        if not said.get("name"):
            _history(f"* GenerateContentRequest.{path}.{spelled}.name: Name cannot be empty.\n", where)
        if said.get(inner) is not None:
            _message(said[inner], f"{path}.{spelled}.{inner}", about_history=True)


def _check_turns(contents: list[dict[str, Any]]) -> None:
    """Every turn that calls functions is followed by one that begins with as many responses."""
    runs = [
        (of_model, list(run))
        for of_model, run in itertools.groupby(
            enumerate(contents), key=lambda numbered: numbered[1].get("role") == "model"
        )
    ]
    calls = 0
    for of_model, run in runs:
        index, first = run[0]
        where = f"contents[{index}]"
        made = _count(run, "functionCall")
        answered = _count(run, "functionResponse")
        if of_model:
            if made and index == 0:
                _history(_CALL_FIRST, where)
            if answered:
                _history(_RESPONSE_FIRST, where)
        else:
            if answered and not calls:
                _history(_RESPONSE_FIRST, where)
            if answered != calls or (calls and not _count([(index, first)], "functionResponse")):
                _history(_COUNT, where)
        calls = made if of_model else 0
    if calls:
        _history(_COUNT, f"contents[{len(contents) - 1}]")


def _count(run: Iterable[tuple[int, dict[str, Any]]], name: str) -> int:
    return sum(field(part, name) is not None for _, content in run for part in listed(content["parts"]))


def _check_config(config: dict[str, Any]) -> None:
    temperature, most = config.get("temperature"), field(config, "maxOutputTokens")
    for name, value in (("temperature", temperature), ("top_p", field(config, "topP"))):
        if value is not None and (isinstance(value, (bool, str)) or not isinstance(value, (int, float))):
            raise BadRequest(
                f"Invalid value at 'generation_config.{name}' (TYPE_FLOAT), {value!r}", "generation_config"
            )
    if temperature is not None and not 0 <= temperature <= 2:
        said = "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n"
        raise BadRequest(said, "generation_config.temperature")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
        said = f"Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32), {most!r}"
        raise BadRequest(said, "generation_config.max_output_tokens")
    if most is not None and most < 1:
        said = "* GenerateContentRequest.generation_config.max_output_tokens: max_output_tokens must be positive.\n"
        raise BadRequest(said, "generation_config.max_output_tokens")


def _check_tools(tools: list[Any]) -> None:
    seen = set()
    for index, tool in enumerate(tools):
        _message(tool, f"tools[{index}]")
        for place, declared in enumerate(listed(field(tool, "functionDeclarations"))):
            path = f"tools[{index}].function_declarations[{place}]"
            _message(declared, path)
            name = declared.get("name")
            if not isinstance(name, str) or _NAME.match(name) is None:
                said = (
                    f"* GenerateContentRequest.{path}.name: [FIELD_INVALID] Invalid function name. Must start with a "
                    "letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons "
                    "(:), or dashes (-), with a maximum length of 128.\n"
                )
                raise BadRequest(said, path)
            if name in seen:
                raise BadRequest(f"Duplicate function declaration found: {name}", path)
            seen.add(name)


def _message(value: object, path: str, *, about_history: bool = False) -> None:
    if not isinstance(value, dict):
        said = f"Invalid value at '{path}' (a message was expected), {value!r}"
        raise BadRequest(said, path, about="history" if about_history else "request")


def _no_stranger(data: dict[str, Any], names: str, path: str) -> None:
    for name in data:
        if name not in _KNOWN[names]:
            at = f" at '{path}'" if path else ""
            said = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
            raise BadRequest(said, path or None, about="history" if path.startswith("contents") else "request")


def _history(message: str, where: str) -> NoReturn:
    raise BadRequest(message, where, about="history")
