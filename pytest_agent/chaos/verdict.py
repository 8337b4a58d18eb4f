"""What the harness says of one run under one schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_agent.faults.catalogue import Named
from pytest_agent.invariants import Evidence, Violation, check_all
from pytest_agent.trace import AssertionFailed, Event, FaultApplied, Unanswered

Word = Literal["survived", "degraded", "FAILED", "not applied", "not judged"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One run: its schedule in text form, the word, and what was found. `events` is the trace it was judged by."""

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
) -> Verdict:
    """The verdict on a run from its trace. `errors` are failures of the test's own fixtures."""
    evidence = Evidence(events, baseline, faults, must_recover)
    violations, not_judged = check_all(evidence)
    violations += _of_the_test(evidence) + [Violation("fixture", "the test's own fixture", text) for text in errors]
    outcome = evidence.claim.outcome if evidence.claim is not None else "none"
    if faults and all(fault.is_control for fault in faults) and outcome not in ("success", "none") and not violations:
        twins = ", ".join(fault.title.lower() for fault in faults)
        detail = evidence.claim.detail if evidence.claim is not None else ""
        violations.append(
            Violation("control", "no over-reaction", f"{outcome}, although nothing was wrong: {twins}", (detail,))
        )
    at_stake = {id_ for fault in faults for id_ in fault.entry.invariants}
    unjudged = tuple(id_ for id_ in not_judged if id_ in at_stake)
    word: Word
    if violations:
        word = "FAILED"
    elif faults and not any(isinstance(event, FaultApplied) for event in events):
        word = "not applied"
    elif unjudged:
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
        events=tuple(events),
    )


def _of_the_test(evidence: Evidence) -> list[Violation]:
    asserted = [
        Violation("assertion", "the test's own assertion", event.detail.splitlines()[0])
        for event in evidence.of(AssertionFailed)
    ]
    surprised = [Violation("network", "no network by surprise", event.detail) for event in evidence.of(Unanswered)]
    return asserted + surprised[:1]
