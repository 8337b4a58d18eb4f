"""The answer of the tool is longer than usual."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply


class PadReply(ToolEffect):
    """`characters` more than the tool's own answer: a further field of an object, or text after text."""

    name: ClassVar[str] = "pad-reply"
    characters: int = Field(ge=1)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every tool."""
        del sweep
        return [self] if "effect" in facts else []

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """The same answer and more; one that is neither an object nor text stays as it is."""
        line = "2026-01-01T00:00:00Z level=debug nothing to see here\n"
        more = (line * (self.characters // len(line) + 1))[: self.characters]
        if reply.error is not None:
            return reply
        if isinstance(reply.value, Mapping):
            return dataclasses.replace(reply, value={**reply.value, "log": more})
        return dataclasses.replace(reply, value=reply.value + more) if isinstance(reply.value, str) else reply
