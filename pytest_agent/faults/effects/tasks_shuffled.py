"""Whenever several tasks are ready, a seed decides which goes first."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field

from pytest_agent.faults.effect import ClockEffect, Facts

_SEEDS = (7, 8, 9)


class TasksShuffled(ClockEffect):
    """From the site to the end of the run, each choice out of `seed` and its own number, whatever came before it."""

    name: ClassVar[str] = "tasks-shuffled"
    lasts: Literal["attempt", "run"] = "run"
    seed: int = Field(default=7, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies at the first such moment of a run; three seeds where the seed is swept."""
        if not facts.get("first"):
            return []
        return [self.with_params(seed=seed) for seed in _SEEDS] if "seed" in sweep else [self]

    def goes_first(self, ready: int, n: int) -> int | None:
        """Any of them, all equally likely."""
        return random.Random(f"{self.seed}:{n}").randrange(ready)  # noqa: S311 - that it can be foretold is the point
