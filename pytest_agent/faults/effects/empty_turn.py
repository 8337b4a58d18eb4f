"""The model says nothing at all, and that it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import Turn


class EmptyTurn(LlmEffect):
    """A complete turn with no text and no calls."""

    name: ClassVar[str] = "empty-turn"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every reply."""
        del facts, sweep
        return [self]

    def change_turn(self, turn: Turn) -> Turn:
        """Nothing."""
        return dataclasses.replace(turn, text="", calls=(), stop="stop")
