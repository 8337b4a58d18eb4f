"""The model says that it calls tools, and calls none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import Turn


class AnnounceNoCalls(LlmEffect):
    """The stop reason of a turn with calls, without the calls."""

    name: ClassVar[str] = "announce-no-calls"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to turns that call a tool."""
        del sweep
        return [self] if facts.get("calls") else []

    def change_turn(self, turn: Turn) -> Turn:
        """The same turn without its calls."""
        return dataclasses.replace(turn, calls=(), stop="tool_calls") if turn.calls else turn
