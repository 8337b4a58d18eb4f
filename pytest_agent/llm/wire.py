"""What the codecs share: how names, JSON and headers are written, how text is cut up, how tokens are guessed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from email.utils import formatdate

from pydantic_core import to_json

from pytest_agent.llm.reply import RetryAfter
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import Turn, Usage

WORDS = re.compile(r"\S+\s*|\s+")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
MOST_COUNTED = 16
"""Turns whose usage a request remembers."""

ARGUMENT_PIECE = 12
"""Characters of arguments in one event; providers send a few tokens at a time."""


def wire_name(name: str, declared: Sequence[str]) -> str:
    """The name under which the agent declared the tool.

    The wires allow letters, digits, `_` and `-` only, so that an agent declares `payments.refund` as
    `payments_refund` or the like; a script uses the tool's own name.
    """
    if name in declared:
        return name
    plain = re.sub(r"[^a-zA-Z0-9]", "", name)
    return next((other for other in declared if re.sub(r"[^a-zA-Z0-9]", "", other) == plain), name)


def number(text: str | None) -> int:
    """The number a header says, 0 where it says none."""
    return int(text) if text is not None and text.isdecimal() else 0


def canonical(data: object) -> bytes:
    """The same bytes for equal data, lone surrogates included."""
    return _CANONICAL.encode(data).encode("utf-8", "surrogatepass")


def text_of(content: object) -> str:
    """The text of a message, whose content is a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def dump(data: object) -> bytes:
    """JSON as providers send it."""
    try:
        return to_json(data)
    except ValueError:
        # Half of a surrogate pair has no UTF-8; JSON spells it `\ud83d`, which is what the handler makes of it.
        return _JSON.encode(data).encode("utf-8", "backslashreplace")


def retry_after_header(pause: RetryAfter | None) -> tuple[tuple[str, str], ...]:
    """The header that names a pause, in whole numbers where they are whole; none for None."""
    if pause is None:
        return ()
    if pause.form == "date":
        return (("retry-after", formatdate(time.time() + pause.pause_s, usegmt=True)),)
    name, value = ("retry-after-ms", pause.pause_s * 1000) if pause.form == "ms" else ("retry-after", pause.pause_s)
    return ((name, str(int(value) if value == int(value) else value)),)


def counted(turn: Turn, request: ModelRequest) -> Turn:
    """The same turn with its usage filled in: what `usage_of` gives where it says none."""
    if turn.usage is not None:
        return turn
    known = request.counted.get(turn)
    if known is not None:
        return known
    usage = usage_of(turn, request)
    made = Turn(turn.text, turn.calls, turn.stop, usage, turn.reasoning, turn.refusal, turn.pace)
    if len(request.counted) < MOST_COUNTED:
        request.counted[turn] = made
    return made


def usage_of(turn: Turn, request: ModelRequest) -> Usage:
    """What the turn says, else an estimate of four characters a token, as providers document it."""
    if turn.usage is not None:
        return turn.usage
    thought = len(turn.reasoning or "") // 4
    said = len(turn.refusal or turn.text or "") + sum(len(call.arguments) for call in turn.calls)
    return Usage(
        input_tokens=request.guessed_tokens,
        output_tokens=max(1, said // 4 + thought),
        reasoning_tokens=thought,
    )
