"""The tool's answer is late, and arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply


class SlowReply(ToolEffect):
    """The answer comes `delay_s` virtual seconds later. `pure`: also that of a tool without effect."""

    name: ClassVar[str] = "slow-reply"
    delay_s: float = Field(default=2.0, gt=0)
    pure: bool = False

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to tools that change the world, and with `pure` to every tool."""
        del sweep
        return [self] if facts.get("effect") or (self.pure and "effect" in facts) else []

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """The same answer, later."""
        return dataclasses.replace(reply, delay_s=reply.delay_s + self.delay_s)
