"""I4: the run ends."""

from __future__ import annotations

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.trace import RunAborted

ID, NAME = "I4", "ends within budgets"


def ends(evidence: Evidence) -> list[Violation]:
    """I4, as far as it can be seen without a budget: the run ends by itself.

    It does not when the agent waits for what never comes, with nothing left that could wake it, or asks the model
    without end.
    """
    return [Violation(ID, NAME, f"{event.reason}: {event.detail}") for event in evidence.of(RunAborted)]
