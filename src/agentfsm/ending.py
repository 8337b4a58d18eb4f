"""Ending: a task that ends without success first undoes, last one first, what was done and can be undone.

The end that was decided is kept in `task.ending` meanwhile. Each compensation is a step with an intent before it
acts and a key of its own, so it is repeated and resumed like any other.
"""

from __future__ import annotations

from agentfsm.compensation import due, undo_step
from agentfsm.conversation import latest
from agentfsm.draft import Draft
from agentfsm.noticing import report
from agentfsm.parts import Parts
from agentfsm.records import Outcome, Step
from agentfsm.reserving import count_undo
from agentfsm.standing_in import answered
from agentfsm.states import Event

DEGRADED = "degraded"
"""The code of an answer that stands in for that of a tool, and the cause of a success with one: it is partial."""
UNCONFIRMED = "compensation_unconfirmed"
"""The cause of an end at which an effect could not be shown to be undone."""


def conclude(parts: Parts, draft: Draft, event: Event, outcome: Outcome, cause: str | None, answer: str = "") -> None:
    """End the task, or decide its end and begin to undo."""
    if outcome == "success":
        if draft.task.mode != "live":
            outcome, cause = "partial", draft.task.mode
        elif any(step.error_code == DEGRADED for step in draft.steps):
            outcome, cause = "partial", DEGRADED
    if outcome in {"success", "partial"} or not due(parts.workflow, draft.steps):
        _end(parts, draft, event, outcome, cause, answer)
        return
    ending = {"event": event.value, "outcome": outcome, "cause": cause, "answer": answer}
    draft.task = draft.task.but(ending=ending)
    draft.note("ending", outcome=outcome, cause=cause)
    proceed(parts, draft)


def proceed(parts: Parts, draft: Draft) -> None:
    """Open the next compensation, or come to the end that was decided."""
    left = due(parts.workflow, draft.steps)
    if left:
        done, contract = left[0]
        undo = undo_step(parts.workflow, draft, done, contract)
        count_undo(parts, draft, contract.name, steps=1)
        draft.intend(undo)
        draft.note("compensation", step=undo.step_id, tool=undo.tool, key=undo.key, undoes=done.key, of=done.tool)
        draft.fire(
            Event.COMPENSATION_REQUIRED,
            outcome=None,
            cause=None,
            answer="",
            wait_until=None,
            next_run_at=None,
            asked=None,
        )
        return
    ending = draft.task.ending or {}
    failed = any(
        s.kind == "undo" and s.status != "success" and not answered(draft.steps, s) for s in latest(draft.steps)
    )
    outcome: Outcome = "unknown" if failed else ending["outcome"]
    cause = UNCONFIRMED if failed else ending["cause"]
    _end(parts, draft, Event(ending["event"]), outcome, cause, ending["answer"])


def compensated(draft: Draft, undo: Step) -> None:
    """Note that an effect is undone."""
    undone = f"{undo.request_id}:{undo.undoes}"
    draft.note("compensated", step=undo.step_id, tool=undo.tool, key=undo.key, undoes=undone)


def _end(parts: Parts, draft: Draft, event: Event, outcome: Outcome, cause: str | None, answer: str) -> None:
    draft.end(event, outcome, cause, answer)
    report(parts, draft)
