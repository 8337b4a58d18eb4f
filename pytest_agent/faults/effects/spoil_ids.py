"""The calls of the model have ids that tell nothing apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import Turn


class SpoilIds(LlmEffect):
    """Every call has the same id, in this turn and in all later ones.

    `how`: `same` is one id for all, `blank` is an empty one.
    """

    name: ClassVar[str] = "spoil-ids"
    lasts: Literal["attempt", "run"] = "run"
    how: Literal["same", "blank"] = "same"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to turns that call a tool; both ways where `how` is swept."""
        if not facts.get("calls"):
            return []
        return [self.with_params(how=how) for how in ("same", "blank")] if "how" in sweep else [self]

    def change_turn(self, turn: Turn) -> Turn:
        """The same calls under one id."""
        if not turn.calls:
            return turn
        one = "call_0" if self.how == "same" else ""
        return dataclasses.replace(turn, calls=tuple(dataclasses.replace(call, id=one) for call in turn.calls))
