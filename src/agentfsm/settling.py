"""Settling: what follows from a reply, written into one draft. Decides, and does no I/O."""

from __future__ import annotations

from typing import Any

from agentfsm.attempts import Reply
from agentfsm.budgets import plus
from agentfsm.conversation import canonical_calls, latest
from agentfsm.decisions import CORRECTABLE
from agentfsm.draft import Draft
from agentfsm.ending import compensated, conclude, proceed
from agentfsm.falling_back import fall_back
from agentfsm.noticing import breaker_turned, report
from agentfsm.parts import Parts
from agentfsm.records import INTERRUPTED, Step
from agentfsm.recovery import Deadline, ErrorClass
from agentfsm.reserving import exceeded
from agentfsm.results import in_doubt
from agentfsm.standing_in import answered, mapped, root_of
from agentfsm.states import Event
from agentfsm.steering import again, held_back, plan
from agentfsm.turns import Turn
from agentfsm.waiting import ask_what_happened

CUT = "Your reply was cut off at the length limit and none of it was used. Answer again, shorter."


def settle(parts: Parts, draft: Draft, step: Step, reply: Reply, wall: Deadline, own: Deadline) -> None:
    """Close an attempt and open what follows, as soon as nothing else is out."""
    if reply.tokens or reply.cost_usd:
        used = plus(draft.task.budget_used, tokens=reply.tokens, cost_usd=reply.cost_usd)
        draft.task = draft.task.but(budget_used=used)
    for state in reply.breaker:
        breaker_turned(parts, draft, step, state)
    if reply.turn is not None:
        _model_replied(parts, draft, step, reply.turn)
    elif reply.output is not None:
        _tool_replied(parts, draft, step, reply.output)
    elif reply.error is ErrorClass.INVALID_INPUT and step.kind == "tool" and not in_doubt(draft.steps, step):
        told = {"error": reply.code, "reason": reply.reason}
        code = "invalid_input" if step.call_id else reply.code
        draft.finish(
            step, "fail", status="failed", error_code=code, error_class=ErrorClass.INVALID_INPUT.value, output_data=told
        )
        _heard(draft, Event.VALIDATION_ERROR)
    elif _attempt_failed(parts, draft, step, reply, wall, own):
        return
    if not draft.pending:
        go_on(parts, draft, wall)


def go_on(parts: Parts, draft: Draft, wall: Deadline) -> None:
    """Plan what comes next where nothing is out: first see to a step that failed for good."""
    dead = _dead(draft)
    if dead is None:
        plan(parts, draft, wall)
    elif dead.kind == "undo" and not in_doubt(draft.steps, dead) and dead.error_class != ErrorClass.TRANSIENT:
        proceed(parts, draft)  # it will never work: undo the rest, and say so at the end
    elif dead.kind == "undo" or in_doubt(draft.steps, dead):
        draft.end(Event.EFFECT_UNKNOWN, "unknown", dead.error_code)
        ask_what_happened(parts, draft, dead, wall)
        report(parts, draft)
    elif held_back(parts, draft):
        return
    elif not fall_back(parts, draft, dead, wall):
        _give_up(parts, draft, dead, wall)
    elif not draft.pending and draft.task.wait_until is None:
        go_on(parts, draft, wall)


def _dead(draft: Draft) -> Step | None:
    """Return the first step that failed for good and has not been made good, one in doubt before all; or None."""
    if draft.task.ending is not None:
        last = latest(draft.steps)[-1]
        return last if last.kind == "undo" and last.status != "success" else None
    if all(step.status in {"success", "pending"} for step in draft.steps):
        return None  # most often so, and asked twice a step
    history, dead = latest(draft.steps), None
    for step in history:
        if step.kind not in {"tool", "model"} or step.status not in {"failed", "in_doubt"}:
            continue
        doubt = in_doubt(draft.steps, step)
        correctable = step.error_code in CORRECTABLE and not doubt and (step.call_id or step.kind == "model")
        if correctable or (step.kind == "model" and step is not history[-1]):
            continue
        if (doubt or (dead is None and step.stands_in_for is None)) and not answered(draft.steps, step):
            dead = step
            if doubt:
                break
    return dead


def _heard(draft: Draft, event: Event) -> None:
    """Move on with `event` once the last call of a group was heard, or stay where others are out or one is dead."""
    out = draft.pending or _dead(draft) is not None
    draft.fire(Event.PART_RECEIVED if out else event)


def _model_replied(parts: Parts, draft: Draft, step: Step, turn: Turn) -> None:
    if turn.finish == "length":
        draft.finish(
            step,
            "fail",
            status="failed",
            error_code="truncated",
            error_class=ErrorClass.INVALID_INPUT.value,
            output_data={"reason": CUT},
        )
        draft.fire(Event.VALIDATION_ERROR)
        return
    turn = canonical_calls(parts.workflow, turn, step.step_id, [s.call_id for s in draft.steps if s.call_id])
    draft.finish(step, "finish", status="success", output_data=turn.model_dump(mode="json", exclude_none=True))
    draft.fire(Event.MODEL_REPLIED)
    draft.note("proposal", step=step.step_id, calls=[c.name for c in turn.calls], final=not turn.calls)


def _tool_replied(parts: Parts, draft: Draft, step: Step, output: Any) -> None:
    if step.kind == "undo":
        draft.finish(step, "finish", status="success", output_data=dict(output))
        draft.fire(Event.TOOL_RESULT_RECEIVED)
        compensated(draft, step)
        return
    draft.finish(step, "finish", status="success", output_data=output)
    draft.take(parts.workflow, root_of(draft.steps, step), mapped(parts.workflow, draft.steps, step, output))
    _heard(draft, Event.TOOL_RESULT_RECEIVED)


def _attempt_failed(parts: Parts, draft: Draft, step: Step, reply: Reply, wall: Deadline, own: Deadline) -> bool:
    """Close a failed attempt; return whether another one was opened."""
    transient = reply.error is ErrorClass.TRANSIENT
    lost = reply.doubt and transient
    draft.finish(
        step,
        "in doubt" if lost else "fail",
        status="in_doubt" if lost else "failed",
        error_code=reply.code,
        error_class=None if reply.error is None else reply.error.value,
        output_data={"error": reply.code, "reason": reply.reason},
    )
    late = wall.passed and step.kind != "undo"
    if reply.code == "breaker_open" and _can_fall_back(parts, draft, step):
        return False
    if late or not (transient or _other_model(parts, draft, step)) or (reply.doubt and not parts.may_repeat(step.tool)):
        return False
    pause = 0.0 if not transient else _pause(parts, step, reply, wall, own)
    if pause is None or again(parts, draft, step, pause) is not None:
        return False
    draft.fire(Event.ATTEMPT_FAILED)
    if pause > own.remaining():
        draft.note("parked", step=step.step_id, code=reply.code, until=draft.now + pause)
    return True


def _pause(parts: Parts, step: Step, reply: Reply, wall: Deadline, own: Deadline) -> float | None:
    """Return the pause of the layer that owns the error: the call's own, else the stage's, which has more time."""
    if reply.code == INTERRUPTED:
        return 0.0  # nobody is waited for
    pause = parts.retry.pause(step.key, step.attempt, reply.retry_after_s, own)
    if pause is None and step.kind != "undo":
        pause = parts.retry.park(step.key, step.attempt, reply.retry_after_s, wall)
    return pause


def _can_fall_back(parts: Parts, draft: Draft, step: Step) -> bool:
    """Whether something else can answer at once, so that nobody waits for a breaker to close."""
    others = parts.workflow.fallbacks.get(step.tool or "")
    return bool(others) and step.kind == "tool" and step.stands_in_for is None and not in_doubt(draft.steps, step)


def _other_model(parts: Parts, draft: Draft, step: Step) -> bool:
    """Whether a model that refused for good can be replaced by the next one."""
    if step.tool is not None:
        return False
    before = [s for s in draft.steps if (s.step_id, s.attempt) < (step.step_id, step.attempt)]
    return parts.model_for(draft.steps, step)[1] is not parts.model_for(before, step)[1]


def _give_up(parts: Parts, draft: Draft, step: Step, wall: Deadline) -> None:
    """End the task because of a step that failed for good."""
    transient = step.error_class == ErrorClass.TRANSIENT
    if transient and wall.passed:
        conclude(parts, draft, Event.TIMEOUT, "limit", "limit_wall_s")
        return
    limit = exceeded(parts, draft, step.tool) if transient else None
    if limit is not None:
        conclude(parts, draft, Event.LIMIT_REACHED, "limit", limit)
    else:
        conclude(parts, draft, Event.STEP_FAILED, "failed", step.error_code)
