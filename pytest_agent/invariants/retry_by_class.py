"""I6: retry by class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pytest_agent.faults.catalogue import Named
from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.invariants.lives import tasks_of
from pytest_agent.trace import Died, FaultApplied, ModelReplied, ModelRequested, StoreCommitted

ID, NAME = "I6", "retry by class"


def retry_by_class(evidence: Evidence) -> list[Violation] | None:
    """I6. A permanent error gets exactly one attempt; a transient one is recovered from where `must_recover` says so.

    Permanent: the wire requests answered with the error of a fault of class `permanent`, over all logical calls of one
    model within one task; to turn to another model is not to try again. What a process heard and did not make durable
    before it died, or before another one took over, the next one cannot know. Nothing has to be recovered from that did
    not strike, nor where another fault that struck explains the outcome. Needs such a fault in the run, or
    `must_recover`; otherwise there is nothing to hold and it holds.
    """
    found = []
    for fault in evidence.faults:
        if fault.is_control or fault.entry.kind != "permanent":
            continue
        struck = [event for event in evidence.of(FaultApplied) if event.fault.partition("(")[0] == fault.id]
        sites = {event.site for event in struck}
        for model, replies in _by_model_and_task(evidence, sites):
            # What was asked before the first answer came could not know of it.
            first = next((reply for _, reply in replies if not _forgotten(evidence, reply)), replies[-1][1])
            answered = [first] + [reply for asked, reply in replies if asked.seq > first.seq]
            if len(answered) > 1:
                found.append(
                    Violation(
                        ID,
                        NAME,
                        f"{first.error_code} is permanent and was tried {len(answered)} times with {model}",
                        tuple(
                            f"{reply.site}: {reply.status} {reply.error_code}, {reply.t_s:g} s" for reply in answered
                        ),
                    )
                )
    found += _not_recovered(evidence)
    return found


def _not_recovered(evidence: Evidence) -> list[Violation]:
    claim = evidence.claim
    if not evidence.must_recover or claim is None or claim.outcome == "success":
        return []
    names = {event.fault.partition("(")[0] for event in evidence.of(FaultApplied)}
    struck = [fault for fault in evidence.faults if fault.id in names and not fault.is_control]
    transient = [fault for fault in struck if _is_over(fault)]
    others = [fault for fault in struck if not _is_over(fault)]
    if not transient or any(claim.cause in (None, *fault.entry.allows) for fault in others):
        return []
    headline = f"{transient[0].id} is transient and the agent did not recover: {claim.outcome}"
    return [Violation(ID, NAME, headline, (claim.detail,))]


def _is_over(fault: Named) -> bool:
    """Whether it passes: what lasts for the whole run leaves nothing to recover to."""
    return fault.entry.kind == "transient" and fault.effect.lasts != "run"


def _forgotten(evidence: Evidence, reply: ModelReplied) -> bool:
    """Whether the answer was only ever in the memory of a process that died, or for which another one went on."""
    commits = list(evidence.of(StoreCommitted))
    before = next((commit for commit in reversed(commits) if commit.seq < reply.seq), None)
    later = (event for event in evidence.events if event.seq > reply.seq)
    following = next((event for event in later if isinstance(event, (Died, StoreCommitted))), None)
    if isinstance(following, StoreCommitted):
        return before is not None and before.life != following.life
    return isinstance(following, Died)


def _by_model_and_task(
    evidence: Evidence, sites: set[str]
) -> Iterator[tuple[str, list[tuple[ModelRequested, ModelReplied]]]]:
    for task in tasks_of(evidence.events) or [list(evidence.events)]:
        asked = {event.site: event for event in task if isinstance(event, ModelRequested)}
        found: dict[str, list[tuple[ModelRequested, ModelReplied]]] = defaultdict(list)
        for reply in task:
            if isinstance(reply, ModelReplied) and reply.site in sites and reply.site in asked:
                found[asked[reply.site].model].append((asked[reply.site], reply))
        yield from found.items()
