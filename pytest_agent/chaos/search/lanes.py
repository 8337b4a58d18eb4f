"""A search is divided into lanes that know nothing of one another, so that its result does not depend on who runs them.

A schedule belongs to the lane of its earliest fault. What a lane decides it decides from the clean run and from its own
runs: two processes with four lanes each do what one process with eight does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_agent.chaos.search.bounds import LANES
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.site import Site


def lane_of(fault: Fault) -> int:
    """The lane of a fault at its site, from 0. All its settings are in one lane."""
    return int.from_bytes(hashlib.sha256(f"{fault.id}@{fault.site}".encode()).digest()[:4]) % LANES


def share(total: int, lane: int) -> int:
    """The part of `total` runs that is this lane's; the parts of all lanes add up to it."""
    return total // LANES + (lane < total % LANES)


@dataclass(slots=True)
class Lane:
    """What one lane has seen: `seen` by the text of its schedules. `clean` are the sites of the run without faults.

    `left` are the runs that it may yet make beyond single faults, None for as many as it likes; `made` counts them.
    """

    number: int
    clean: frozenset[Site]
    left: int | None = None
    made: int = 0
    seen: dict[str, Observed] = field(default_factory=dict)

    def owns(self, fault: Fault) -> bool:
        """Whether schedules that begin with this fault are this lane's."""
        return lane_of(fault) == self.number

    def alone(self, fault: Fault) -> Observed | None:
        """The run under this fault alone, where the lane has seen one."""
        return self.seen.get(str(fault))

    def useless(self, fault: Fault) -> bool:
        """Whether it is known to break the test alone, or to find nothing to act on: no pair with it is of interest."""
        run = self.alone(fault)
        return run is not None and (run.verdict.failed or str(fault) not in run.applied)

    def untried(self, schedules: Iterable[Schedule]) -> Iterator[Schedule]:
        """Those that are new and of interest. Where one fails, its faults alone come next, as far as not known yet."""
        for schedule in schedules:
            if str(schedule) in self.seen or any(self.useless(fault) for fault in schedule.faults):
                continue
            yield schedule
            if self.seen[str(schedule)].verdict.failed:
                yield from self.unknown(schedule)

    def unknown(self, schedule: Schedule) -> Iterator[Schedule]:
        """The faults of the schedule, each alone: those at sites of the clean run that the lane has not seen yet."""
        for fault in schedule.faults:
            if fault.site in self.clean and self.alone(fault) is None:
                yield Schedule((fault,))
