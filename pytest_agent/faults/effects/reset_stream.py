"""The connection breaks in the middle of the stream, and the library says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.faults.effects.boundaries import at_boundaries
from pytest_agent.llm.reply import Reply


class ResetStream(LlmEffect):
    """After `after` events the client's library raises its own error.

    `how`: `reset` is a connection reset by the peer, `incomplete` one that was closed without the end of its body.
    """

    name: ClassVar[str] = "reset-stream"
    after: int = Field(default=2, ge=0)
    how: Literal["reset", "incomplete"] = "incomplete"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Every boundary before the terminal event, where swept."""
        return at_boundaries(self, facts, sweep)

    def change_reply(self, reply: Reply) -> Reply:
        """The head of the reply, then the error."""
        terminal_at = reply.terminal_at
        if not reply.streamed or terminal_at is None or self.after > terminal_at:
            return reply
        return dataclasses.replace(reply, chunks=reply.chunks[: self.after], end=self.how)
