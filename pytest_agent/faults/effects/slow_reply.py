"""The tool's answer is late, and arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply


class SlowReply(ToolEffect):
    """The answer comes `delay_s` virtual seconds later."""

    name: ClassVar[str] = "slow-reply"
    delay_s: float = Field(default=2.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to tools that change the world, as its twin does."""
        del sweep
        return [self] if facts.get("effect") else []

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """The same answer, later."""
        return dataclasses.replace(reply, delay_s=reply.delay_s + self.delay_s)
