"""Entering: what is done first with a task that is taken up. Decides, and does no I/O."""

from __future__ import annotations

from collections.abc import Callable

from agentfsm.attempts import lost
from agentfsm.budgets import plus_each
from agentfsm.draft import Draft
from agentfsm.ending import conclude, proceed
from agentfsm.parts import Parts
from agentfsm.records import INTERRUPTED, Step, Task
from agentfsm.recovery import Deadline
from agentfsm.settling import go_on, settle
from agentfsm.states import Event, State
from agentfsm.steering import again, plan
from agentfsm.stopping import stop_by_switch
from agentfsm.waiting import HELD, held_s

DeadlineOf = Callable[[Step], Deadline]
WholeOf = Callable[[Task], Deadline]


def enter(parts: Parts, draft: Draft, whole_of: WholeOf, deadline_of: DeadlineOf) -> bool:
    """Write what opens the task into the draft; return whether there is anything to write."""
    task = draft.task
    wall = whole_of(task)
    if task.version == 0 or task.fsm_state is State.INIT:
        _start(parts, draft, whole_of)
        return True
    if task.cause == HELD:
        return _lift(parts, draft, whole_of)
    if draft.pending:
        # In a pause the task was given back before the next attempt began, so nothing was lost.
        paused = task.next_run_at is not None
        began = [] if paused else [s for s in draft.pending if (s.not_before or 0.0) <= draft.now]
        for step in began:
            settle(parts, draft, step, lost(INTERRUPTED), wall, deadline_of(step))
        return bool(began)
    if task.fsm_state is not State.WAITING_EXTERNAL or task.wait_until is not None:
        return False
    return _ask_again(parts, draft, wall)


def _start(parts: Parts, draft: Draft, whole_of: WholeOf) -> None:
    """Begin; a task that was submitted has waited until now to be taken up."""
    if draft.task.version:
        draft.task = draft.task.but(waited_s=draft.now - draft.task.created_at)
    draft.say("start")
    draft.fire(Event.USER_REQUEST_RECEIVED)
    stage = parts.workflow.stage(draft.task.business_state)
    if stage.visits is not None:
        draft.task = draft.task.but(budget_used=plus_each(draft.task.budget_used, "visits", stage.name))
    if draft.task.depth > parts.limits.depth:
        conclude(parts, draft, Event.LIMIT_REACHED, "limit", "limit_depth")
        return
    plan(parts, draft, whole_of(draft.task))


def _lift(parts: Parts, draft: Draft, whole_of: WholeOf) -> bool:
    """Go on with a task that was held back, once it no longer is; its own clock has stood still."""
    strength = parts.switches.stopped(parts.workflow.label)
    if strength == "pause":
        return False
    if strength == "stop":
        stop_by_switch(parts, draft)
        return True
    waited = draft.task.waited_s + held_s(draft)
    draft.fire(Event.RESUMED, outcome=None, cause=None, next_run_at=None, waited_s=waited)
    draft.say("lift")
    if not draft.pending:
        go_on(parts, draft, whole_of(draft.task))
    elif draft.pending[0].tool is not None:
        draft.fire(Event.TOOL_PROPOSED)
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
