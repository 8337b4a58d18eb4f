"""The connection stays open and nothing more arrives, for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.faults.effects.boundaries import at_boundaries
from pytest_agent.llm.reply import Reply


class StallStream(LlmEffect):
    """`after` events are delivered, then silence. Only the client's own limit ends it."""

    name: ClassVar[str] = "stall-stream"
    after: int = Field(default=1, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Every boundary before the terminal event."""
        return at_boundaries(self, facts, sweep)

    def change_reply(self, reply: Reply) -> Reply:
        """The head of the reply, then nothing and no end."""
        terminal_at = reply.terminal_at
        if not reply.streamed or terminal_at is None or self.after > terminal_at:
            return reply
        return dataclasses.replace(reply, chunks=reply.chunks[: self.after], end="silence")
