"""What is said of a run that took its whole process with it, so that it could not be judged from its trace."""

from __future__ import annotations

from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.schedule import Schedule
from pytest_agent.invariants import Violation

PROCESS = "process"
"""The id of what is violated where the process that runs the test does not survive it."""


def died(schedule: Schedule, how: str = "") -> Observed:
    """A FAILED run under the schedule that nothing is known of but `how` it ended."""
    violation = Violation(PROCESS, "of the run", "the process died under this schedule", (how,) if how else ())
    faults = tuple(fault.id for fault in schedule.faults)
    verdict = Verdict(str(schedule), faults, "FAILED", "none", (violation,), (), ())
    return Observed(schedule, verdict, (), frozenset())
