"""Values to text and back. What one of the stores could not keep is refused by both, before anything is written."""

from __future__ import annotations

import json
from typing import Any

from agentfsm.contracts import compact
from agentfsm.errors import StoreError

MOST_CHARACTERS = 1_000_000
"""Of one text or one JSON value; an answer or a payload that is longer is refused, not stored."""


def pack(value: Any) -> str | None:
    """Return a value as JSON text, None as NULL. Raise StoreError where it cannot be stored."""
    if value is None:
        return None
    try:
        text = compact(value)
    except ValueError as error:
        raise StoreError(f"a value that is no plain JSON cannot be stored: {error}", code="unstorable") from error
    if len(text) > MOST_CHARACTERS:
        raise _too_large(len(text))
    return text


def pack_control(value: Any) -> str:
    """Return the value of a control as JSON text; None is a value there."""
    return pack(value) or "null"


def unpack(text: str | None) -> Any:
    """Return the value of a JSON text; raise StoreError where it is none."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a stored value is no JSON: {error}", code="corrupt_row") from error


def plain(*texts: str | None) -> None:
    """Raise StoreError where a text cannot be stored as it is; PostgreSQL keeps no NUL, UTF-8 no lone surrogate."""
    joined = "".join(text for text in texts if text)
    if "\0" in joined or not joined.isascii():
        try:
            joined.encode()
        except UnicodeEncodeError as error:
            raise StoreError("a text with a lone surrogate cannot be stored; nothing was", code="unstorable") from error
        if "\0" in joined:
            raise StoreError("a text with a NUL character cannot be stored; nothing was written", code="unstorable")
    if len(joined) > MOST_CHARACTERS:
        raise _too_large(len(joined))


def _too_large(size: int) -> StoreError:
    return StoreError(
        f"a value of {size} characters; at most {MOST_CHARACTERS} are stored. Keep the rest elsewhere and store where",
        code="too_large",
        size=size,
    )
