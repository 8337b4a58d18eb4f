"""Logical tool calls and their attempts.

A call is an attempt of an earlier one when it carries the same idempotency key, or when tool and arguments are those
of one that failed or whose reply was lost. Otherwise it is the next. Calls that one turn of the model made in parallel
are numbered by their place in that turn, whatever the order in which they arrive.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from pytest_agent.trace import ModelReplied, Trace


@dataclass(slots=True)
class LogicalToolCall:
    """One use of a tool. `failed` from when an attempt ended without the tool's own reply until it is tried again.

    A call that is merely under way has not failed: the same arguments meanwhile are another use of the tool.
    """

    tool: str
    n: int
    written: str
    key: str | None
    attempts: int = 1
    failed: bool = False


class ToolBook:
    """The logical calls of every tool in one run."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._calls: dict[str, list[LogicalToolCall]] = defaultdict(list)
        self._turn_base: dict[tuple[int, str], int] = {}

    def open(self, tool: str, written: str, key: str | None) -> LogicalToolCall:
        """The logical call that this invocation, its arguments `written` in canonical form, belongs to."""
        for call in reversed(self._calls[tool]):
            same_key = key is not None and key == call.key
            if same_key or (call.failed and call.written == written and (key is None or call.key is None)):
                call.attempts += 1
                call.failed = False
                return call
        made = LogicalToolCall(tool, self._number(tool, written), written, key)
        self._calls[tool].append(made)
        return made

    def snapshot(self) -> list[dict[str, Any]]:
        """Every logical call, as JSON data."""
        return [asdict(call) for calls in self._calls.values() for call in calls]

    def restore(self, data: list[dict[str, Any]]) -> None:
        """Go on from there. What was under way when the process died has failed."""
        for call in data:
            self._calls[call["tool"]].append(LogicalToolCall(**call))

    def _number(self, tool: str, written: str) -> int:
        taken = {call.n for call in self._calls[tool]}
        base, asked = self._last_asked(tool, max(taken, default=0))
        places = (base + place for place, text in enumerate(asked, start=1) if _canonical_text(text) == written)
        # What the turn did not ask for in these words gets the first number that is free.
        free = (n for n in itertools.count(base + 1) if n not in taken)
        return next((n for n in places if n not in taken), next(free))

    def _last_asked(self, tool: str, count: int) -> tuple[int, list[str]]:
        """The last turn that asks for this tool: how many calls there were before it, and its arguments in order."""
        for turn in reversed(self._trace.events):
            if isinstance(turn, ModelReplied):
                asked = [call["arguments"] for call in turn.calls if plain_name(call["name"]) == plain_name(tool)]
                if asked:
                    return self._turn_base.setdefault((turn.seq, tool), count), asked
        return 0, []


def canonical(arguments: Any) -> str:
    """Arguments, as JSON data, in text that is equal where they are."""
    return json.dumps(arguments, sort_keys=True)


def plain_name(name: str) -> str:
    """A tool's name without its punctuation: on some wires it is written without its dots."""
    return "".join(letter for letter in name if letter.isalnum())


def _canonical_text(text: str) -> str:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return canonical(data) if isinstance(data, dict) else text
