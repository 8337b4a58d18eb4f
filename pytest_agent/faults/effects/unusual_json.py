"""The arguments are written unusually and mean exactly the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import ToolCall, Turn


class UnusualJson(LlmEffect):
    """Keys in reverse order, generous white space, a newline at the end: still the same object."""

    name: ClassVar[str] = "unusual-json"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to turns that call a tool with arguments."""
        del sweep
        return [self] if facts.get("arguments") else []

    def change_turn(self, turn: Turn) -> Turn:
        """The same calls, spelled differently."""
        if not any(call.has_arguments for call in turn.calls):
            return turn
        return dataclasses.replace(turn, calls=tuple(self._respell(call) for call in turn.calls))

    def _respell(self, call: ToolCall) -> ToolCall:
        if not call.has_arguments:
            return call
        reversed_keys = dict(reversed(list(json.loads(call.arguments).items())))
        return dataclasses.replace(call, arguments=json.dumps(reversed_keys, indent=4, ensure_ascii=True) + "\n")
