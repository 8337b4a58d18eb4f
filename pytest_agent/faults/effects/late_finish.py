"""All that the model says is there, and that it is all comes later."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply


class LateFinish(LlmEffect):
    """The terminal event comes `for_s` virtual seconds after the one before it."""

    name: ClassVar[str] = "late-finish"
    for_s: float = Field(default=3.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to streamed turns that call a tool."""
        del sweep
        return [self] if facts.get("streamed") and facts.get("calls") else []

    def change_reply(self, reply: Reply) -> Reply:
        """The same events, the last that counts late."""
        at = reply.terminal_at
        if not reply.streamed or at is None:
            return reply
        late = dataclasses.replace(reply.chunks[at], delay_s=reply.chunks[at].delay_s + self.for_s)
        return dataclasses.replace(reply, chunks=(*reply.chunks[:at], late, *reply.chunks[at + 1 :]))
