"""A shuffled order as single deviations from the usual one, so that it can be shrunk as any other schedule."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.site import Site
from pytest_agent.trace import Event, TaskChosen

SHUFFLED, REORDERED = "tasks-shuffled", "tasks-reordered"
_USUAL_PICK = 2


def single_picks(schedule: Schedule, events: Iterable[Event]) -> Schedule:
    """The schedule with its shuffles replaced by one `tasks-reordered` for each unusual choice of the run `events`.

    `events` is the trace of the run under `schedule`; under what is returned the same tasks go first at the same
    moments. A schedule that shuffles nothing is returned as it is.
    """
    if not any(fault.id == SHUFFLED for fault in schedule.faults):
        return schedule
    kept = [fault for fault in schedule.faults if fault.id not in (SHUFFLED, REORDERED)]
    picks = [
        Fault(REORDERED, Site.parse(event.site), _params(event.picked))
        for event in events
        if isinstance(event, TaskChosen) and event.picked > 1
    ]
    return Schedule.of([*kept, *picks])


def _params(picked: int) -> tuple[tuple[str, int], ...]:
    return () if picked == _USUAL_PICK else (("pick", picked),)
