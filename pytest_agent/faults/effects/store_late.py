"""A commit of the agent's store takes its time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, StoreEffect


class StoreLate(StoreEffect):
    """`for_s` virtual seconds pass before the commit is written, or after it before it is known."""

    name: ClassVar[str] = "store-late"
    phase: Literal["before", "after"] = "before"
    for_s: float = Field(default=1.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies on one side of every commit."""
        del sweep
        return [self] if facts.get("phase") == self.phase else []

    def delay_s(self) -> float:
        """As long as it says."""
        return self.for_s
