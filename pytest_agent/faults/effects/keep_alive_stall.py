"""The stream is kept alive and says nothing more, for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.faults.effects.boundaries import at_boundaries
from pytest_agent.llm.reply import Reply


class KeepAliveStall(LlmEffect):
    """`after` events are delivered, then the provider's keep-alive every fifteen seconds and nothing else.

    A limit on the silence between bytes never trips; one on the time between events does.
    """

    name: ClassVar[str] = "keep-alive-stall"
    after: int = Field(default=1, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Every boundary before the terminal event, where swept."""
        return at_boundaries(self, facts, sweep)

    def change_reply(self, reply: Reply) -> Reply:
        """The head of the reply, then keep-alives."""
        terminal_at = reply.terminal_at
        if not reply.streamed or reply.words is None or terminal_at is None or self.after > terminal_at:
            return reply
        return dataclasses.replace(reply, chunks=reply.chunks[: self.after], end="keep-alive")
