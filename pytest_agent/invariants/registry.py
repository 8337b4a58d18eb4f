"""The checks there are, by the id of their invariant."""

from __future__ import annotations

from pytest_agent.invariants.attempts_bounded import attempts_bounded
from pytest_agent.invariants.budgets_kept import ends_within_budgets
from pytest_agent.invariants.clean_cancel import clean_cancel
from pytest_agent.invariants.complete_turns import complete_or_error
from pytest_agent.invariants.effect_once import no_duplicate_effect
from pytest_agent.invariants.evidence import Check, Evidence, Violation
from pytest_agent.invariants.honest import honest_outcome
from pytest_agent.invariants.legal_machine import legal_state_machine
from pytest_agent.invariants.resume_equal import resume_equivalence
from pytest_agent.invariants.retry_by_class import retry_by_class
from pytest_agent.invariants.sendable import history_sendable
from pytest_agent.invariants.single_flight import single_flight
from pytest_agent.invariants.undone import undone_in_reverse
from pytest_agent.invariants.valid_calls import only_valid_calls_run

CHECKS: dict[str, Check] = {
    "I1": no_duplicate_effect,
    "I3": honest_outcome,
    "I4": ends_within_budgets,
    "I5": attempts_bounded,
    "I6": retry_by_class,
    "I8": complete_or_error,
    "I9": only_valid_calls_run,
    "I10": history_sendable,
    "I11": legal_state_machine,
    "I12": resume_equivalence,
    "I13": single_flight,
    "I14": clean_cancel,
    "I20": undone_in_reverse,
}


def check_all(evidence: Evidence) -> tuple[list[Violation], list[str]]:
    """Every violation in the order of the ids, and the ids of the invariants that could not be judged."""
    violations: list[Violation] = []
    not_judged: list[str] = []
    for id_, check in CHECKS.items():
        found = check(evidence)
        if found is None:
            not_judged.append(id_)
        else:
            violations.extend(found)
    return violations, not_judged
