"""What the wire formats share: tool names they allow, arguments they take back, and bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentfsm.contracts import plain_text
from agentfsm.turns import Turn

_MOST_DEPTH = 64


def wire_name(name: str) -> str:
    """Return a name every API accepts: letters, digits, `_` and `-`, at most 64."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or "_"


class Names:
    """The tools of one request under names of the wire, each one's own."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._ours: dict[str, str] = {}
        # Names that may be sent as they are keep themselves.
        for name in sorted((tool["name"] for tool in tools), key=lambda name: wire_name(name) != name):
            sent, number = wire_name(name), 1
            while self._ours.get(sent, name) != name:
                number += 1
                sent = f"{wire_name(name)[:60]}_{number}"
            self._ours[sent] = name
        self._sent = {ours: sent for sent, ours in self._ours.items()}

    def sent(self, name: str) -> str:
        """Return the name to send, also of a tool that is not offered any more."""
        return self._sent.get(name) or wire_name(name)

    def ours(self, turn: Turn) -> Turn:
        """Return the turn with tool names as the contracts have them; an unknown name stays as it is."""
        calls = tuple(call.model_copy(update={"name": self._ours.get(call.name, call.name)}) for call in turn.calls)
        return turn.model_copy(update={"calls": calls})


def as_object(arguments: str) -> dict[str, Any]:
    """Return the arguments as the object they are, or an empty one: providers refuse any other history."""
    try:
        found = json.loads(arguments)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and _shallow(found, _MOST_DEPTH) else {}


def encode(body: Mapping[str, Any]) -> bytes:
    """Return the bytes of a body; the same body gives the same bytes, and half of a surrogate pair is replaced."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return plain_text(text).encode()


def _shallow(value: Any, left: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_shallow(item, left - 1) for item in inner)
