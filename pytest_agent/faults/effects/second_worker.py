"""A second worker begins with a task that a first one is at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import AroundProcess, Facts, Hands
from pytest_agent.faults.site import Site


class SecondWorker(AroundProcess):
    """Over the same store, as another process of the same agent would, while the first one goes on."""

    name: ClassVar[str] = "second-worker"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies around every commit of an agent that several workers can run."""
        del sweep
        return [self] if "last" in facts and "second-worker" in facts.get("can", ()) else []

    def act(self, hands: Hands, site: Site) -> str:
        """Start it."""
        del site
        return "a second worker began with the task" if hands.start_second() else ""
