"""I3: honest outcome."""

from __future__ import annotations

import json

from pytest_agent.invariants.evidence import Evidence, Operation, Violation, effects, operation, say, was_cut
from pytest_agent.trace import ModelReplied, OutcomeClaimed, ToolCalled, ToolReplied, WorldChecked

ID, NAME = "I3", "honest outcome"


def honest_outcome(evidence: Evidence) -> list[Violation] | None:
    """I3. `success` implies that the world predicate holds, no effect is unresolved and no turn was cut.

    The predicates are those of `sandbox.must_hold`; without one, the run must have had every effect of the clean run.
    An effect whose reply was lost is unresolved until it is tried again and answered, or until a tool without effects
    is asked about it.
    Any other outcome must name a cause that the fault allows, or that of the clean run, and a programming error that
    leaves the agent is a crash, never an honest failure. Needs a claimed outcome; otherwise not judged.
    """
    claim = evidence.claim
    if claim is None:
        return None
    if claim.outcome != "success":
        return _failure(evidence, claim)
    return [*_world(evidence), *_unresolved(evidence), *_cut(evidence)]


def _failure(evidence: Evidence, claim: OutcomeClaimed) -> list[Violation]:
    if claim.crash:
        headline = f"the agent crashed: {claim.detail}"
        return [Violation(ID, NAME, headline, tuple(claim.errors))]
    allowed = {cause for fault in evidence.faults for cause in fault.entry.allows}
    if allowed and claim.cause in _causes_without_faults(evidence):
        return []
    if claim.cause is not None and allowed and claim.cause not in allowed:
        headline = f"the outcome is {claim.outcome} for the cause {claim.cause!r}, which this fault does not explain"
        return [Violation(ID, NAME, headline, (f"causes the fault allows: {', '.join(sorted(allowed))}",))]
    return []


def _causes_without_faults(evidence: Evidence) -> set[str | None]:
    """Return why the clean run did not end in success: what it comes to anyway needs no fault to explain it."""
    claims = [event for event in evidence.baseline or () if isinstance(event, OutcomeClaimed)]
    return {claim.cause for claim in claims[-1:] if claim.outcome != "success"}


def _world(evidence: Evidence) -> list[Violation]:
    checks = list(evidence.of(WorldChecked))
    if checks:
        return [
            Violation(ID, NAME, f"success was claimed and {check.name!r} does not hold", (check.detail,))
            for check in checks
            if not check.holds
        ]
    missing = effects(evidence.baseline or ()) - effects(evidence.events)
    return [
        Violation(ID, NAME, f"success was claimed without {say(tool, arguments)}, which the clean run commits")
        for tool, arguments in sorted(missing)
    ]


def _unresolved(evidence: Evidence) -> list[Violation]:
    called: dict[str, ToolCalled] = {}
    lost: dict[Operation, ToolReplied] = {}
    for event in evidence.events:
        if isinstance(event, ToolCalled):
            called[event.site] = event
        elif isinstance(event, ToolReplied) and event.site in called:
            asked = called[event.site]
            if asked.effect and event.status == "lost":
                lost[operation(asked.tool, asked.arguments)] = event
            elif asked.effect:
                lost.pop(operation(asked.tool, asked.arguments), None)
            elif event.status == "ok":
                lost = {op: reply for op, reply in lost.items() if not _asks_about(asked, op)}
    return [
        Violation(
            ID,
            NAME,
            f"success was claimed while the effect of {say(tool, arguments)} was unknown",
            (f"{reply.site}: {reply.detail}, {reply.t_s:g} s",),
        )
        for (tool, arguments), reply in lost.items()
    ]


def _asks_about(asked: ToolCalled, lost: Operation) -> bool:
    """Whether a tool without effects was given a value of the lost call: `payments.status(order=7)`."""
    about = [value for value in json.loads(lost[1]).values() if value and not isinstance(value, bool)]
    return any(value in about for value in asked.arguments.values())


def _cut(evidence: Evidence) -> list[Violation]:
    replies = list(evidence.of(ModelReplied))
    if not replies or not was_cut(replies[-1], evidence.events):
        return []
    last = replies[-1]
    return [
        Violation(
            ID,
            NAME,
            "success was claimed on a turn that never ended",
            (f"{last.site}: {last.delivered} of {last.events} events, then {last.end}; text so far {last.text!r}",),
        )
    ]
