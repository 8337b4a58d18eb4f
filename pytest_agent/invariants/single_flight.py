"""I13: single flight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.invariants.lives import tasks_of
from pytest_agent.trace import Event, StoreCommitted

ID, NAME = "I13", "single flight"


def single_flight(evidence: Evidence) -> list[Violation] | None:
    """I13. At most one live run per task: once a later process has committed, an earlier one cannot.

    Read from the lives that commits carry. Needs a store whose commits are seen, and tasks that do not run at once, for
    their lives cannot be told apart; otherwise not judged.
    """
    tasks = tasks_of(evidence.events)
    if tasks is None or not any(_commits(task) for task in tasks):
        return None
    return [violation for task in tasks for violation in _stale(_commits(task))]


def _commits(task: Sequence[Event]) -> list[StoreCommitted]:
    return [event for event in task if isinstance(event, StoreCommitted) and event.site.endswith(".after")]


def _stale(commits: Sequence[StoreCommitted]) -> Iterator[Violation]:
    latest: StoreCommitted | None = None
    for event in commits:
        if latest is None or event.life >= latest.life:
            latest = event
            continue
        yield Violation(
            ID,
            NAME,
            f"process {event.life} committed {event.site} after process {latest.life} had taken over",
            (f"{latest.site}: {latest.label}", f"{event.site}: {event.label}"),
        )
