"""I10: history always sendable."""

from __future__ import annotations

import itertools

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.trace import ModelRefused, ModelRequested

ID, NAME = "I10", "history always sendable"


def history_sendable(evidence: Evidence) -> list[Violation] | None:
    """I10. No history is one that the provider refuses, and no request is sent again as it was refused.

    A refusal of anything else, such as a parameter that the model does not take, is no fault where the agent learns
    from it. Needs a model that was asked; otherwise not judged.
    """
    refusals = list(evidence.of(ModelRefused))
    if not refusals and not any(True for _ in evidence.of(ModelRequested)):
        return None
    found = []
    for _, run in itertools.groupby(refusals, key=lambda event: event.body_sha256):
        same = list(run)
        first = same[0]
        if first.about == "history":
            found.append(
                Violation(ID, NAME, f"{first.codec} refuses the history: {_line(first.message)}", _lines(same[:1]))
            )
        if len(same) > 1:
            headline = f"the same request was refused {len(same)} times in a row: {_line(first.message)}"
            found.append(Violation(ID, NAME, headline, _lines(same)))
    return found


def _lines(refusals: list[ModelRefused]) -> tuple[str, ...]:
    first = refusals[0]
    at_fault = (f"{first.param or 'the message'}: {first.at_fault}",) if first.at_fault else ()
    return (*(f"{event.t_s:g} s: answered {event.status}" for event in refusals), *at_fault)


def _line(text: str) -> str:
    return " ".join(text.split())
