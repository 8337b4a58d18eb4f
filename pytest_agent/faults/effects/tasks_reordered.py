"""Of several ready tasks another one goes first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import ClockEffect, Facts

_MOST_PICKS = 4


class TasksReordered(ClockEffect):
    """The task that would be number `pick` goes first and the others follow in their order; 1 changes nothing."""

    name: ClassVar[str] = "tasks-reordered"
    pick: int = Field(default=2, ge=1)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Each of the first four that are not first already; what changes nothing applies at the first moment only."""
        ready = facts.get("ready", 0)
        if self.pick == 1:
            return [self] if facts.get("first") else []
        if "pick" not in sweep:
            return [self] if self.pick <= ready else []
        return [self.with_params(pick=pick) for pick in range(2, min(ready, _MOST_PICKS) + 1)]

    def goes_first(self, ready: int, n: int) -> int | None:
        """Number `pick`, where there are so many."""
        del n
        return self.pick - 1 if self.pick <= ready else None
