"""The agent's process stands still for a moment, and goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, ProcessEffect
from pytest_agent.faults.effects.boundaries import process_moment


class StandStill(ProcessEffect):
    """As under a scheduler that has no time for it: `for_s` virtual seconds pass at the site."""

    name: ClassVar[str] = "stand-still"
    for_s: float = Field(default=2.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies where the process passes this moment, but for that in which it has its answer already."""
        del sweep
        return [self] if self.when != "answered" and process_moment(self.when, facts) else []

    def dies(self) -> bool:
        """It does not."""
        return False

    def stands_still_s(self) -> float:
        """As long as it says."""
        return self.for_s
