"""Entering: what is done first with a task that is taken up. Decides, and does no I/O."""

from __future__ import annotations

from collections.abc import Callable

from agentfsm.attempts import lost
from agentfsm.draft import Draft
from agentfsm.ending import conclude, proceed
from agentfsm.parts import Parts
from agentfsm.records import INTERRUPTED, Step
from agentfsm.recovery import Deadline
from agentfsm.settling import settle
from agentfsm.states import Event, State
from agentfsm.steering import again, plan
from agentfsm.waiting import HELD

DeadlineOf = Callable[[Step], Deadline]


def enter(parts: Parts, draft: Draft, wall: Deadline, deadline_of: DeadlineOf) -> bool:
    """Write what opens the task into the draft; return whether there is anything to write."""
    task = draft.task
    if task.version == 0 or task.fsm_state is State.INIT:
        _start(parts, draft, wall)
        return True
    if draft.pending:
        # A task in a pause was given back before the next attempt began, so nothing was lost.
        began = [] if task.owner is None and task.next_run_at is not None else draft.pending
        for step in began:
            settle(parts, draft, step, lost(INTERRUPTED), wall, deadline_of(step))
        return bool(began)
    if task.fsm_state is not State.WAITING_EXTERNAL or task.wait_until is not None:
        return False
    if task.cause == HELD:
        return _lift(parts, draft, wall)
    return _ask_again(parts, draft, wall)


def _start(parts: Parts, draft: Draft, wall: Deadline) -> None:
    draft.say("start")
    draft.fire(Event.USER_REQUEST_RECEIVED)
    if draft.task.depth > parts.limits.depth:
        conclude(parts, draft, Event.LIMIT_REACHED, "limit", "limit_depth")
        return
    plan(parts, draft, wall)


def _lift(parts: Parts, draft: Draft, wall: Deadline) -> bool:
    """Go on with a task that was held back, once it no longer is."""
    if parts.switches.stopped(parts.workflow.label) == "pause":
        return False
    draft.fire(Event.RESUMED, outcome=None, cause=None, next_run_at=None)
    plan(parts, draft, wall)
    return True


def _ask_again(parts: Parts, draft: Draft, wall: Deadline) -> bool:
    """Try once more to learn what became of an effect in doubt; where nobody can tell, leave it."""
    asked = draft.task.asked
    number = asked["step"] if asked else draft.steps[-1].step_id
    step = next(s for s in reversed(draft.steps) if s.step_id == number)
    undo, late = step.kind == "undo", wall.passed
    anew = {"outcome": None, "cause": None, "asked": None, "next_run_at": None}
    if (undo or not late) and parts.may_repeat(step.tool) and again(parts, draft, step) is None:
        draft.fire(Event.USER_REQUEST_RECEIVED, **anew)
    elif late and undo:
        draft.fire(Event.WAIT_EXPIRED, **anew)
        proceed(parts, draft)
    elif late:
        conclude(parts, draft, Event.TIMEOUT, "unknown", draft.task.cause)
    else:
        return False
    return True
