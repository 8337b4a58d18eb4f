"""The provider fails in the middle of a stream whose status was 200, and says so in an event of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.faults.effects.boundaries import at_boundaries
from pytest_agent.llm.openai_events import renumbered
from pytest_agent.llm.reply import ErrorKind, Reply


class ErrorInStream(LlmEffect):
    """After `after` events comes the provider's event for `kind`, then the body ends."""

    name: ClassVar[str] = "error-in-stream"
    kind: ErrorKind
    after: int = Field(default=2, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Every boundary before the terminal event, where swept."""
        return at_boundaries(self, facts, sweep)

    def change_reply(self, reply: Reply) -> Reply:
        """The head of the reply, then the error."""
        terminal_at = reply.terminal_at
        if not reply.streamed or reply.words is None or terminal_at is None or self.after > terminal_at:
            return reply
        chunks = renumbered((*reply.chunks[: self.after], reply.words.error_event(self.kind)))
        return dataclasses.replace(reply, chunks=chunks, error_code=self.kind)
