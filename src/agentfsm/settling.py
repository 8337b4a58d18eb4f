"""Settling: what follows from a reply, written into one draft. Decides, and does no I/O."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from agentfsm.attempts import Reply
from agentfsm.budgets import Meter
from agentfsm.conversation import canonical_calls
from agentfsm.draft import Draft
from agentfsm.ending import conclude, proceed
from agentfsm.parts import Parts
from agentfsm.records import IN_DOUBT, INTERRUPTED, Inbound, Step
from agentfsm.recovery import Deadline, ErrorClass
from agentfsm.results import in_doubt
from agentfsm.states import Event
from agentfsm.steering import again, plan
from agentfsm.turns import Turn

CUT = "Your reply was cut off at the length limit and none of it was used. Answer again, shorter."


def settle(parts: Parts, draft: Draft, step: Step, reply: Reply, wall: Deadline, own: Deadline) -> float | None:
    """Close an attempt and open what follows; return the pause before it where that is another attempt."""
    if reply.code != INTERRUPTED:
        draft.event = Inbound("tool" if step.tool else "model", f"{step.key}/{step.attempt}", reply.code or "reply")
    used = Meter.of(draft.task.budget_used).plus(tokens=reply.tokens)
    draft.task = replace(draft.task, budget_used=asdict(used))
    if reply.turn is not None:
        _model_replied(draft, step, reply.turn)
    elif reply.output is not None:
        _tool_replied(parts, draft, step, reply.output)
    elif reply.error is ErrorClass.INVALID_INPUT and step.kind == "tool" and not in_doubt(draft.steps, step):
        told = {"error": reply.code, "reason": reply.reason}
        draft.finish(step, "fail", status="failed", error_code="invalid_input", output_data=told)
        draft.fire(Event.VALIDATION_ERROR)
    else:
        return _attempt_failed(parts, draft, step, reply, wall, own)
    plan(parts, draft, wall)
    return None


def _model_replied(draft: Draft, step: Step, turn: Turn) -> None:
    if turn.finish == "length":
        draft.finish(step, "fail", status="failed", error_code="truncated", output_data={"reason": CUT})
        draft.fire(Event.VALIDATION_ERROR)
        return
    turn = canonical_calls(turn, step.step_id, [s.call_id for s in draft.steps if s.call_id])
    draft.finish(step, "finish", status="success", output_data=turn.model_dump(mode="json"))
    draft.fire(Event.MODEL_REPLIED)
    draft.note("proposal", step=step.step_id, calls=[c.name for c in turn.calls], final=not turn.calls)


def _tool_replied(parts: Parts, draft: Draft, step: Step, output: Any) -> None:
    if step.kind == "undo":
        draft.finish(step, "finish", status="success", output_data=dict(output))
        draft.fire(Event.TOOL_RESULT_RECEIVED)
        draft.note(
            "compensated", step=step.step_id, tool=step.tool, key=step.key, undoes=f"{step.request_id}:{step.undoes}"
        )
        return
    business = parts.workflow.fold(draft.task.business_state, step.tool or "", step.input_data, output)
    draft.finish(step, "finish", status="success", output_data=dict(output))
    stage = parts.workflow.stage(business).name
    draft.fire(Event.TOOL_RESULT_RECEIVED, business_state=business, current_step=stage)


def _attempt_failed(
    parts: Parts, draft: Draft, step: Step, reply: Reply, wall: Deadline, own: Deadline
) -> float | None:
    lost = reply.doubt and reply.error is ErrorClass.TRANSIENT
    label, code = ("in doubt", IN_DOUBT) if lost else ("fail", reply.code)
    told = {"error": reply.code, "reason": reply.reason}
    draft.finish(step, label, status="failed", error_code=code, output_data=told)
    late = wall.passed and step.kind != "undo"
    cause, limit = reply.code, None
    if reply.error is ErrorClass.TRANSIENT and (not reply.doubt or parts.may_repeat(step.tool)):
        pause = parts.retry.pause(step.key, step.attempt, reply.retry_after_s, own)
        limit = "limit_wall_s" if late else None
        if pause is not None and limit is None:
            limit = again(parts, draft, step)
            if limit is None:
                draft.fire(Event.ATTEMPT_FAILED)
                return pause
    doubt = in_doubt(draft.steps, step)
    if step.kind == "undo" and not doubt and reply.error is not ErrorClass.TRANSIENT:
        proceed(parts, draft)  # it will never work: undo the rest, and say so at the end
    elif doubt or step.kind == "undo":
        draft.end(Event.EFFECT_UNKNOWN, "unknown", cause)
    elif limit is not None:
        conclude(parts, draft, Event.TIMEOUT if late else Event.LIMIT_REACHED, "limit", limit)
    else:
        conclude(parts, draft, Event.STEP_FAILED, "failed", cause)
    return None
