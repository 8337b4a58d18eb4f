"""Ending: a task that ends without success first undoes, last one first, what was done and can be undone.

The end that was decided is kept in `task.ending` meanwhile. Each compensation is a step with an intent before it
acts and a key of its own, so it is repeated and resumed like any other.
"""

from __future__ import annotations

from dataclasses import replace

from agentfsm.compensation import due, undo_step
from agentfsm.conversation import latest
from agentfsm.draft import Draft
from agentfsm.parts import Parts
from agentfsm.records import Outcome
from agentfsm.reserving import count_undo
from agentfsm.states import Event

UNCONFIRMED = "compensation_unconfirmed"
"""The cause of an end at which an effect could not be shown to be undone."""


def conclude(parts: Parts, draft: Draft, event: Event, outcome: Outcome, cause: str | None, answer: str = "") -> None:
    """End the task, or decide its end and begin to undo."""
    if outcome in {"success", "partial"} or not due(parts.workflow, draft.steps):
        draft.end(event, outcome, cause, answer)
        return
    ending = {"event": event.value, "outcome": outcome, "cause": cause, "answer": answer}
    draft.task = replace(draft.task, ending=ending)
    draft.note("ending", outcome=outcome, cause=cause)
    proceed(parts, draft)


def proceed(parts: Parts, draft: Draft) -> None:
    """Open the next compensation, or come to the end that was decided."""
    left = due(parts.workflow, draft.steps)
    if left:
        done, contract = left[0]
        undo = undo_step(parts.workflow, draft, done, contract)
        count_undo(draft, contract.name, steps=1)
        draft.intend(undo)
        draft.note("compensation", step=undo.step_id, tool=undo.tool, key=undo.key, undoes=done.key, of=done.tool)
        draft.fire(Event.COMPENSATION_REQUIRED, outcome=None, cause=None, answer="", wait_until=None)
        return
    ending = draft.task.ending or {}
    failed = any(s.kind == "undo" and s.status != "success" for s in latest(draft.steps))
    outcome: Outcome = "unknown" if failed else ending["outcome"]
    draft.end(Event(ending["event"]), outcome, UNCONFIRMED if failed else ending["cause"], ending["answer"])
