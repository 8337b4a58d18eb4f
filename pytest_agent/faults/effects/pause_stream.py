"""The stream pauses, shorter than any sane limit, and goes on to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.faults.effects.boundaries import at_boundaries
from pytest_agent.llm.reply import Reply


class PauseStream(LlmEffect):
    """After `after` events nothing arrives for `for_s` virtual seconds, then the rest does."""

    name: ClassVar[str] = "pause-stream"
    after: int = Field(default=1, ge=0)
    for_s: float = Field(default=4.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Every boundary before the terminal event, where swept."""
        return at_boundaries(self, facts, sweep)

    def change_reply(self, reply: Reply) -> Reply:
        """The same chunks, one of them late."""
        if not reply.streamed or self.after >= len(reply.chunks):
            return reply
        late = dataclasses.replace(reply.chunks[self.after], delay_s=self.for_s)
        return dataclasses.replace(reply, chunks=(*reply.chunks[: self.after], late, *reply.chunks[self.after + 1 :]))
