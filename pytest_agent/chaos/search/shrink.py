"""From a schedule that breaks a test to the fewest faults that break it in the same way."""

from __future__ import annotations

from pytest_agent.chaos.search.observed import Observed, Subject, same_way
from pytest_agent.faults.schedule import Schedule


def shrink(failing: Observed, subject: Subject, *, most_runs: int = 200) -> Observed:
    """Leave out one fault after the other, as long as the run fails in the same way. Never worse than `failing`."""
    best, runs = failing, 0
    for fault in failing.schedule.faults:
        rest = Schedule.of(other for other in best.schedule.faults if other != fault)
        if not rest.faults or runs >= most_runs:
            continue
        runs += 1
        run = subject.observe(rest)
        if same_way(run.verdict, failing.verdict):
            best = run
    return best
