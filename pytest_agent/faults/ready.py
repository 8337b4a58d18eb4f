"""The seam of the clock: moments at which more than one task was ready, numbered, and who went first."""

from __future__ import annotations

from pytest_agent.faults.effect import ClockEffect
from pytest_agent.faults.schedule import Fault
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.trace import TaskChosen

MOST_MOMENTS = 2_000
"""After so many the tasks of a run go in the usual order: nobody reads or searches more of them."""


class ReadyTasks:
    """Chooses among ready tasks as the faults of the schedule say, and records each choice that there was."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._moments = 0
        self._told: set[Fault] = set()

    def choose(self, ready: int) -> int:
        """Which of `ready` tasks goes first, from 0."""
        if self._moments == MOST_MOMENTS:
            return 0
        self._moments += 1
        site = Site("clock", "ready", self._moments)
        picked = 0
        for fault, effect in self._seams.at(site, ClockEffect):
            place = effect.goes_first(ready, site.n)
            if place is None:
                continue
            picked = place
            if fault not in self._told:
                self._told.add(fault)
                self._seams.struck(fault, site, f"of {ready} ready tasks number {place + 1} went first")
        self._seams.trace.append(TaskChosen(site=str(site), ready=ready, picked=picked + 1))
        return picked
