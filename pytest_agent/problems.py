"""What is wrong with a value, in plain words: what was expected, what was found, and the edit to make."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

_SHAPES = {
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "greater_than_equal": "{ge:g} or more",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "{le:g} or less",
    "less_than": "less than {lt:g}",
    "too_short": "at least {min_length} in the list",
    "string_too_short": "at least {min_length} character(s)",
    "literal_error": "{expected}",
}


def say_problem(problem: Mapping[str, Any], keys: Iterable[str] = ()) -> str:
    """One of the errors of a pydantic.ValidationError. `keys` are those that the place knows, if it knows any."""
    kind, found = str(problem["type"]), problem["input"]
    if kind not in _SHAPES:
        # A check of our own says what is wrong and then, after a semicolon, the edit.
        message, semicolon, edit = str(problem["msg"]).removeprefix("Value error, ").partition("; ")
        return f"{message[0].lower()}{message[1:]}, found {_short(found)}{semicolon}{edit}"
    expected = _SHAPES[kind].format(**problem.get("ctx", {}))
    known = ", ".join(keys)
    if known and kind.startswith(("dict", "model")):
        expected += f" (known: {known})"
    return f"expected {expected}, found {_short(found)}; {_edit(kind, found, expected)}"


def _edit(kind: str, found: object, expected: str) -> str:
    if kind == "literal_error" and isinstance(found, str):
        near = difflib.get_close_matches(found, re.findall(r"'([^']+)'", expected), n=1)
        return f"did you mean {near[0]!r}?" if near else "write one of them"
    if found is None:
        return "give it a value, or remove the key"
    if kind == "too_short":
        return "add one, or remove the key"
    scalar = not isinstance(found, (list, dict))
    if kind in {"list_type", "tuple_type"} and scalar:
        return "put it into a list"
    if kind == "string_type" and scalar:
        return "put it in quotes"
    if kind.startswith(("int_", "float_", "bool_")) and isinstance(found, str) and _is_in_quotes(kind, found):
        return "take it out of quotes"
    return "change it"


def _is_in_quotes(kind: str, found: str) -> bool:
    if kind.startswith("bool_"):
        return found in {"true", "false"}
    return found.isascii() and found.isdigit()


def _short(value: object) -> str:
    words = {None: "nothing", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
