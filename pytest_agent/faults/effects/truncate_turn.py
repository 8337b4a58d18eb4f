"""The turn ends at the length limit, in the middle of what it says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import Turn


class TruncateTurn(LlmEffect):
    """The last call of the turn, or its text, is cut, and the stop reason is the length limit.

    `how`: `open` leaves JSON that does not end, `closed` is valid JSON that lacks its last argument.
    """

    name: ClassVar[str] = "truncate-turn"
    how: Literal["open", "closed"] = "open"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to turns that call a tool with arguments; both ways where `how` is swept."""
        if not facts.get("arguments"):
            return []
        return [self.with_params(how=how) for how in ("open", "closed")] if "how" in sweep else [self]

    def change_turn(self, turn: Turn) -> Turn:
        """The turn without its end."""
        if not turn.calls or not turn.calls[-1].has_arguments:
            return turn
        *whole, last = turn.calls
        cut = last.arguments[: len(last.arguments) // 2] if self.how == "open" else _without_last(last.arguments)
        calls = (*whole, dataclasses.replace(last, arguments=cut))
        return dataclasses.replace(turn, calls=calls, stop="length")


def _without_last(arguments: str) -> str:
    try:
        said = json.loads(arguments)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return "{}"
    return json.dumps(dict(list(said.items())[:-1]), ensure_ascii=False)
