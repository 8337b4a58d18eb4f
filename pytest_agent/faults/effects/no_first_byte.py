"""The request is accepted and nothing comes back: no status, no headers, no byte."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply


class NoFirstByte(LlmEffect):
    """Only the client's own limit ends the wait."""

    name: ClassVar[str] = "no-first-byte"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every request."""
        del facts, sweep
        return [self]

    def change_reply(self, reply: Reply) -> Reply:
        """A reply that never begins."""
        return dataclasses.replace(reply, head_s=math.inf)
