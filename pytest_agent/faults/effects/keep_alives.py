"""The stream says that it is alive, and goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.faults.effects.boundaries import at_boundaries
from pytest_agent.llm.reply import Chunk, Reply


class KeepAlives(LlmEffect):
    """After `after` events come `times` keep-alives of the provider's, then the rest.

    Each of them comes `every_s` virtual seconds after the one before it.
    """

    name: ClassVar[str] = "keep-alives"
    after: int = Field(default=1, ge=0)
    times: int = Field(default=3, ge=1, le=100)
    every_s: float = Field(default=2.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Every boundary before the terminal event, where swept."""
        return at_boundaries(self, facts, sweep)

    def change_reply(self, reply: Reply) -> Reply:
        """The same events with others between them that say nothing."""
        if not reply.streamed or reply.words is None or self.after >= len(reply.chunks):
            return reply
        beats = (Chunk(reply.words.keep_alive, delay_s=self.every_s),) * self.times
        chunks = (*reply.chunks[: self.after], *beats, *reply.chunks[self.after :])
        return dataclasses.replace(reply, chunks=chunks, whole=len(chunks))
