"""The provider blocks what the model would say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.turn import Turn


class RefuseTurn(LlmEffect):
    """The turn is empty and its stop reason is that of the content filter, or of a refusal where the wire has that."""

    name: ClassVar[str] = "refuse-turn"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every reply."""
        del facts, sweep
        return [self]

    def change_turn(self, turn: Turn) -> Turn:
        """Nothing, and why."""
        return dataclasses.replace(turn, text=None, calls=(), stop="content_filter")

    def change_reply(self, reply: Reply) -> Reply:
        """The same bytes; the record names the error, which has no body of its own."""
        return dataclasses.replace(reply, error_code="content_filter")
