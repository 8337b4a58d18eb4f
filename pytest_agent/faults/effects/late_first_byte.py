"""The first byte of the reply is late, and all of it arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply


class LateFirstByte(LlmEffect):
    """Status and headers come `for_s` virtual seconds later."""

    name: ClassVar[str] = "late-first-byte"
    for_s: float = Field(default=3.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every request."""
        del facts, sweep
        return [self]

    def change_reply(self, reply: Reply) -> Reply:
        """The same reply, later."""
        return dataclasses.replace(reply, head_s=reply.head_s + self.for_s)
