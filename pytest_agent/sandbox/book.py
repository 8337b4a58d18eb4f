"""Logical tool calls and their attempts.

A call is an attempt of an earlier one when it carries the same idempotency key, or when tool and arguments are those
of one that failed or was never answered. Otherwise it is the next. Calls that one turn of the model made in parallel
are numbered by their place in that turn, whatever the order in which they arrive.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_agent.trace import ModelReplied, Trace


@dataclass(slots=True)
class LogicalToolCall:
    """One use of a tool. `answered` once an attempt ended with the tool's own reply."""

    tool: str
    n: int
    arguments: str
    key: str | None
    attempts: int = 1
    answered: bool = False


class ToolBook:
    """The logical calls of every tool in one run."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._calls: dict[str, list[LogicalToolCall]] = defaultdict(list)
        self._turn_base: dict[tuple[int, str], int] = {}

    def open(self, tool: str, arguments: Mapping[str, Any], key: str | None) -> LogicalToolCall:
        """The logical call that this invocation belongs to."""
        written = canonical(arguments)
        calls = self._calls[tool]
        for call in reversed(calls):
            same_key = key is not None and key == call.key
            if same_key or (not call.answered and call.arguments == written and (key is None or call.key is None)):
                call.attempts += 1
                return call
        made = LogicalToolCall(tool, self._number(tool, written), written, key)
        calls.append(made)
        return made

    def _number(self, tool: str, written: str) -> int:
        taken = {call.n for call in self._calls[tool]}
        turn = next((event for event in reversed(self._trace.events) if isinstance(event, ModelReplied)), None)
        if turn is not None:
            asked = [call["arguments"] for call in turn.calls if _plain(call["name"]) == _plain(tool)]
            if len(asked) > 1:
                base = self._turn_base.setdefault((turn.seq, tool), len(taken))
                for place, arguments in enumerate(asked, start=1):
                    if base + place not in taken and _canonical_text(arguments) == written:
                        return base + place
        return max(taken, default=0) + 1


def canonical(arguments: Mapping[str, Any]) -> str:
    """Arguments as text that is equal where they are."""
    return json.dumps(arguments, sort_keys=True, default=repr)


def _canonical_text(text: str) -> str:
    try:
        data = json.loads(text)
    except ValueError:
        return text
    return canonical(data) if isinstance(data, dict) else text


def _plain(name: str) -> str:
    return "".join(letter for letter in name if letter.isalnum())
