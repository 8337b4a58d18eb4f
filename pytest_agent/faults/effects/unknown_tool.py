"""The model calls a tool that there is not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import Turn


class UnknownTool(LlmEffect):
    """Every call of the turn names a tool that nobody has declared, much like the one that was meant.

    `how`: another `suffix`, or a `prefix` that models have seen elsewhere.
    """

    name: ClassVar[str] = "unknown-tool"
    how: Literal["suffix", "prefix"] = "suffix"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to turns that call a tool; both ways where `how` is swept."""
        if not facts.get("calls"):
            return []
        return [self.with_params(how=how) for how in ("suffix", "prefix")] if "how" in sweep else [self]

    def change_turn(self, turn: Turn) -> Turn:
        """The same calls under another name."""
        if not turn.calls:
            return turn
        return dataclasses.replace(
            turn, calls=tuple(dataclasses.replace(call, name=self._other(call.name)) for call in turn.calls)
        )

    def _other(self, name: str) -> str:
        plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
        return f"{plain}_v2" if self.how == "suffix" else f"functions_{plain}"
