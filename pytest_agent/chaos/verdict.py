"""What the harness says of one run under one schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_agent.faults.catalogue import Named
from pytest_agent.invariants import Evidence, Violation, check_all
from pytest_agent.trace import AssertionFailed, Event, FaultApplied, Unanswered

AROUND = "around"
"""The id of what went wrong around the test's own function: in its fixtures, or in another plugin."""

Word = Literal["survived", "degraded", "FAILED", "not applied", "not judged"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One run: its schedule in text form, the word, and what was found. `events` is the trace of one that failed."""

    schedule: str
    faults: tuple[str, ...]
    word: Word
    outcome: str
    violations: tuple[Violation, ...]
    not_judged: tuple[str, ...]
    events: tuple[Event, ...]

    @property
    def failed(self) -> bool:
        """Whether anything that must hold did not."""
        return self.word == "FAILED"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the invariants that did not hold, each once, in order."""
        return tuple(dict.fromkeys(violation.id for violation in self.violations))

    def to_dict(self) -> dict[str, Any]:
        """Canonical JSON data: no real time, path, port or process."""
        return {
            "schedule": self.schedule,
            "faults": list(self.faults),
            "verdict": self.word,
            "outcome": self.outcome,
            "violations": [
                {"id": item.id, "name": item.name, "headline": item.headline, "evidence": list(item.evidence)}
                for item in self.violations
            ],
            "not_judged": list(self.not_judged),
        }


def judge(
    schedule: str,
    events: Sequence[Event],
    baseline: Sequence[Event] | None,
    faults: tuple[Named, ...],
    *,
    must_recover: bool = False,
    errors: Sequence[str] = (),
    skipped: bool = False,
) -> Verdict:
    """The verdict on a run from its trace. `errors` are failures around the test; one that skipped is not judged."""
    evidence = Evidence(events, baseline, faults, must_recover)
    violations, not_judged = check_all(evidence)
    violations += _of_the_test(evidence)
    violations += [Violation(AROUND, "the test", text) for text in errors]
    outcome = evidence.claim.outcome if evidence.claim is not None else "none"
    if not violations:
        violations += _over_reaction(evidence, outcome)
    at_stake = {id_ for fault in faults for id_ in fault.entry.invariants}
    unjudged = tuple(id_ for id_ in not_judged if id_ in at_stake)
    word: Word
    if violations:
        word = "FAILED"
    elif faults and not any(isinstance(event, FaultApplied) for event in events):
        word = "not applied"
    elif unjudged or skipped:
        word = "not judged"
    else:
        word = "survived" if outcome == "success" else "degraded"
    return Verdict(
        schedule=schedule,
        faults=tuple(fault.id for fault in faults),
        word=word,
        outcome=outcome,
        violations=tuple(violations),
        not_judged=unjudged,
        events=tuple(events) if violations else (),
    )


def _of_the_test(evidence: Evidence) -> list[Violation]:
    found = []
    for event in evidence.of(AssertionFailed):
        first, *rest = [line for line in event.detail.splitlines() if line.strip()] or ["no detail"]
        found.append(Violation("assertion", "of the test", first, tuple(rest[:8])))
    surprised = [Violation("network", "by surprise", event.detail) for event in evidence.of(Unanswered)]
    return found + surprised[:1]


def _over_reaction(evidence: Evidence, outcome: str) -> list[Violation]:
    """What only looks like a fault must change nothing: the run ends as the clean one did."""
    if not evidence.faults or not all(fault.is_control for fault in evidence.faults):
        return []
    clean = Evidence(evidence.baseline or ()).claim
    if outcome == "none" or clean is None or clean.outcome == outcome:
        return []
    twins = ", ".join(fault.title.lower() for fault in evidence.faults)
    detail = evidence.claim.detail if evidence.claim is not None else ""
    headline = f"{outcome} in the place of {clean.outcome}, although nothing was wrong: {twins}"
    return [Violation("control", "no over-reaction", headline, (detail,))]
