"""The calls of the model have ids that look unlike those of the provider, and are unique."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import ToolCall, Turn


class UnusualIds(LlmEffect):
    """Ids as other servers make them: long, with a prefix of their own, and different for each call."""

    name: ClassVar[str] = "unusual-ids"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to turns that call a tool."""
        del sweep
        return [self] if facts.get("calls") else []

    def change_turn(self, turn: Turn) -> Turn:
        """The same calls under other ids, drawn from what they say."""
        if not turn.calls:
            return turn
        return dataclasses.replace(
            turn,
            calls=tuple(
                dataclasses.replace(call, id=f"chatcmpl-tool-{_digest(place, call)}")
                for place, call in enumerate(turn.calls)
            ),
        )


def _digest(place: int, call: ToolCall) -> str:
    return hashlib.sha256(f"{place} {call.name} {call.arguments}".encode("utf-8", "backslashreplace")).hexdigest()[:32]
