"""I6: retry by class."""

from __future__ import annotations

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.trace import FaultApplied, ModelReplied

ID, NAME = "I6", "retry by class"


def retry_by_class(evidence: Evidence) -> list[Violation] | None:
    """I6. A permanent error gets exactly one attempt; a transient one is recovered from where `must_recover` says so.

    Permanent: the wire requests answered with the error of a fault of class `permanent`, over all logical calls.
    Needs such a fault in the run, or `must_recover`; otherwise there is nothing to hold and it holds.
    """
    found = []
    for fault in evidence.faults:
        if fault.is_control or fault.entry.kind != "permanent":
            continue
        struck = [event for event in evidence.of(FaultApplied) if event.fault.partition("(")[0] == fault.id]
        sites = {event.site for event in struck}
        answered = [event for event in evidence.of(ModelReplied) if event.site in sites]
        if len(answered) > 1:
            found.append(
                Violation(
                    ID,
                    NAME,
                    f"{answered[0].error_code} is permanent and was tried {len(answered)} times",
                    tuple(f"{event.site}: {event.status} {event.error_code}, {event.t_s:g} s" for event in answered),
                )
            )
    if evidence.must_recover and not evidence.claims_success:
        transient = [fault for fault in evidence.faults if fault.entry.kind == "transient" and not fault.is_control]
        claim = evidence.claim
        if transient and claim is not None:
            found.append(
                Violation(
                    ID,
                    NAME,
                    f"{transient[0].id} is transient and the agent did not recover: {claim.outcome}",
                    (claim.detail,),
                )
            )
    return found
