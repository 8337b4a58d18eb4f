"""JSON as providers read it: more strictly than Python's own module.

An agent that cuts a text in the middle of an emoji sends half of a surrogate pair. Python writes and reads that without
a word; the parsers of the providers refuse the body, and with it the conversation for good.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_ESCAPES = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJson(ValueError):
    """The body is not JSON. The text says why, and where; `lone` that half of a surrogate pair is all that is wrong."""

    def __init__(self, why: str, position: int, text: str, *, lone: bool = False) -> None:
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        super().__init__(f"{why}: line {line} column {column} (char {position})")
        self.lone = lone


def read_json(body: bytes) -> Any:
    """The data in a body. Raises NotJson, also for `NaN`, for bytes that are no UTF-8 and for half of a pair."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        lone = error.reason == "invalid continuation byte" and body[error.start] == 0xED
        raise NotJson("str is not valid UTF-8: surrogates not allowed", error.start, "", lone=lone) from error
    try:
        data = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(error.msg.lower(), error.pos, text) from error
    except (ValueError, RecursionError) as error:
        raise NotJson("it is nested too deeply, or has a number that is none", 0, text) from error
    if _MAYBE_SURROGATE.search(text) is not None:
        _no_lone_surrogate(text)
    return data


def _no_lone_surrogate(text: str) -> None:
    high = None
    for escape in _ESCAPES.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        low = 0xDC00 <= code <= 0xDFFF
        if high is not None and not (low and escape.start() == high.end()):
            raise NotJson("no low surrogate in string", high.end(), text, lone=True)
        if low and high is None:
            raise NotJson("invalid high surrogate in string", escape.start(), text, lone=True)
        high = escape if 0xD800 <= code <= 0xDBFF else None
    if high is not None:
        raise NotJson("no low surrogate in string", high.end(), text, lone=True)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
