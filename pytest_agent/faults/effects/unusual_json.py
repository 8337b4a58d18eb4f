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
        calls = tuple(self._respell(call) for call in turn.calls)
        return turn if calls == turn.calls else dataclasses.replace(turn, calls=calls)

    def _respell(self, call: ToolCall) -> ToolCall:
        if not call.has_arguments:
            return call
        try:
            said = json.loads(call.arguments)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            # The script itself says what no tool takes: there is no other spelling of that.
            return call
        reversed_keys = dict(reversed(list(said.items())))
        return dataclasses.replace(call, arguments=json.dumps(reversed_keys, indent=4, ensure_ascii=True) + "\n")
