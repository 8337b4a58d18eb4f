"""I3: honest outcome."""

from __future__ import annotations

from pytest_agent.invariants.evidence import Evidence, Violation, effects, operation, say
from pytest_agent.trace import ModelReplied, OutcomeClaimed, ToolCalled, ToolReplied, WorldChecked

ID, NAME = "I3", "honest outcome"


def honest_outcome(evidence: Evidence) -> list[Violation] | None:
    """I3. `success` implies that the world predicate holds, no effect is unresolved and no turn was cut.

    The predicates are those of `sandbox.must_hold`; without one, the run must have had every effect of the clean run.
    Any other outcome must name a cause that the fault allows, and a programming error that leaves the agent is a
    crash, never an honest failure. Needs a claimed outcome; otherwise not judged.
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
    if claim.cause is not None and allowed and claim.cause not in allowed:
        headline = f"the outcome is {claim.outcome} for the cause {claim.cause!r}, which this fault does not explain"
        return [Violation(ID, NAME, headline, (f"causes the fault allows: {', '.join(sorted(allowed))}",))]
    return []


def _world(evidence: Evidence) -> list[Violation]:
    checks = list(evidence.of(WorldChecked))
    if checks:
        return [
            Violation(ID, NAME, f"success was claimed and {check.name!r} does not hold", (check.detail,))
            for check in checks
            if not check.holds
        ]
    missing = set(effects(evidence.baseline or ())) - set(effects(evidence.events))
    return [
        Violation(ID, NAME, f"success was claimed without {say(tool, arguments)}, which the clean run commits")
        for tool, arguments in sorted(missing)
    ]


def _unresolved(evidence: Evidence) -> list[Violation]:
    asked: dict[str, ToolCalled] = {}
    last: dict[tuple[str, str], ToolReplied] = {}
    for event in evidence.events:
        if isinstance(event, ToolCalled) and event.effect:
            asked[event.site] = event
        elif isinstance(event, ToolReplied) and event.site in asked:
            called = asked[event.site]
            last[operation(called.tool, called.arguments)] = event
    return [
        Violation(
            ID,
            NAME,
            f"success was claimed while the effect of {say(tool, arguments)} was unknown",
            (f"{reply.site}: {reply.detail}, {reply.t_s:g} s",),
        )
        for (tool, arguments), reply in last.items()
        if reply.status == "lost"
    ]


def _cut(evidence: Evidence) -> list[Violation]:
    replies = list(evidence.of(ModelReplied))
    if not replies or replies[-1].end == "complete":
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
