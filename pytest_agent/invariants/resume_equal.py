"""I12: resume equivalence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_agent.invariants.evidence import Evidence, Violation, effects, say
from pytest_agent.invariants.lives import tasks_of
from pytest_agent.trace import Died, Event, ModelRequested, OutcomeClaimed, StoreCommitted, ToolCalled

ID, NAME = "I12", "resume equivalence"


def resume_equivalence(evidence: Evidence) -> list[Violation] | None:
    """I12. Killed anywhere and resumed: the same outcome, the same effects, and finished steps are not run again.

    Outcome and effects are compared with the clean run where nothing but deaths has struck; `unknown`, or a cause that
    the fault allows, is an honest end all the same. A step is finished once the store has committed its success; from
    then on its idempotency key may not be seen again at a model or a tool, death or no death. A run in which nothing
    died holds otherwise; one that died is not judged without a clean run beside it, or where it was not resumed.
    """
    found = [violation for task in tasks_of(evidence.events) or () for violation in _run_again(task)]
    deaths = list(evidence.of(Died))
    others = [fault for fault in evidence.faults if fault.effect.seam != "process" and not fault.is_control]
    if not deaths or others:
        return found
    usual = Evidence(evidence.baseline or ()).claim
    claim = evidence.claim
    if usual is None or claim is None or claim.seq < deaths[-1].seq:
        return found or None
    return found + list(_compared(evidence, usual, claim))


def _compared(evidence: Evidence, usual: OutcomeClaimed, claim: OutcomeClaimed) -> Iterator[Violation]:
    allowed = {cause for fault in evidence.faults for cause in fault.entry.allows}
    if claim.outcome != usual.outcome:
        if claim.outcome != "unknown" and claim.cause not in allowed:
            headline = f"the resumed run ended as {claim.outcome}, the uninterrupted one as {usual.outcome}"
            yield Violation(ID, NAME, headline, (claim.detail,))
        return
    now, before = effects(evidence.events), effects(evidence.baseline or ())
    for tool, arguments in sorted(set(now) | set(before)):
        times, usually = now[tool, arguments], before[tool, arguments]
        if times != usually:
            headline = (
                f"{say(tool, arguments)} was committed {times} time(s) in the resumed run "
                f"and {usually} in the uninterrupted one"
            )
            yield Violation(ID, NAME, headline)


def _run_again(task: Sequence[Event]) -> Iterator[Violation]:
    finished: dict[str, str] = {}
    for event in task:
        if isinstance(event, StoreCommitted) and event.site.endswith(".after"):
            finished.update(dict.fromkeys(event.finished, event.site))
        elif isinstance(event, (ToolCalled, ModelRequested)) and event.key is not None and event.key in finished:
            headline = f"{event.site} ran the step {event.key} again, which {finished[event.key]} had finished"
            yield Violation(ID, NAME, headline)
