"""Steering: what follows from a reply, written into one draft. Decides, and does no I/O."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from agentfsm.attempts import Reply
from agentfsm.budgets import Meter
from agentfsm.contracts import digest
from agentfsm.conversation import build, canonical_calls
from agentfsm.draft import Draft
from agentfsm.parts import Parts
from agentfsm.planner import AskModel, End, Refuse, RunTool, decide
from agentfsm.records import IN_DOUBT, INTERRUPTED, Inbound, Step
from agentfsm.recovery import Deadline, ErrorClass
from agentfsm.results import in_doubt
from agentfsm.states import Event
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
    elif reply.error is ErrorClass.INVALID_INPUT and not in_doubt(draft.steps, step):
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
    cause, limit = reply.code, None
    if reply.error is ErrorClass.TRANSIENT and (not reply.doubt or parts.may_repeat(step.tool)):
        pause = parts.retry.pause(step.key, step.attempt, reply.retry_after_s, own)
        limit = "limit_wall_s" if wall.passed else None
        if pause is not None and limit is None:
            limit = again(parts, draft, step)
            if limit is None:
                draft.fire(Event.ATTEMPT_FAILED)
                return pause
    if in_doubt(draft.steps, step):
        draft.end(Event.EFFECT_UNKNOWN, "unknown", cause)
    elif limit is not None:
        draft.end(Event.TIMEOUT if wall.passed else Event.LIMIT_REACHED, "limit", limit)
    else:
        draft.end(Event.STEP_FAILED, "failed", cause)
    return None


def again(parts: Parts, draft: Draft, step: Step) -> str | None:
    """Open the next attempt of a failed step with the same input; return the limit that forbids it."""
    if step.attempt >= parts.limits.attempts:
        return "limit_attempts"
    limit = _reserve(parts, draft, step.tool, steps=0)
    if limit is None:
        fresh = {"status": "pending", "output_data": None, "error_code": None, "finished_at": None}
        draft.intend(replace(step, attempt=step.attempt + 1, created_at=draft.now, **fresh))  # type: ignore[arg-type]
    return limit


def plan(parts: Parts, draft: Draft, wall: Deadline) -> None:
    """Refuse, open the next step, or end: until there is something to act on or nothing left to do."""
    while True:
        decision = decide(parts.workflow, parts.limits, draft.task, draft.steps)
        if isinstance(decision, Refuse):
            told = {"error": decision.code, "reason": decision.reason}
            refusal = _new(draft, "refusal", told, tool=decision.tool, call_id=decision.call_id)
            draft.refuse(replace(refusal, status="failed", error_code=decision.code, output_data=told))
            draft.fire(Event.VALIDATION_ERROR)
            continue
        if isinstance(decision, End):
            draft.end(decision.event, decision.outcome, decision.cause, decision.answer)
            return
        limit = "limit_wall_s" if wall.passed else _reserve(parts, draft, getattr(decision, "tool", None), steps=1)
        if limit is not None:
            draft.end(Event.TIMEOUT if wall.passed else Event.LIMIT_REACHED, "limit", limit)
        elif isinstance(decision, RunTool):
            draft.intend(_tool_step(parts, draft, decision))
            draft.fire(Event.TOOL_PROPOSED)
        else:
            draft.intend(_model_step(parts, draft, decision))
        return


def _reserve(parts: Parts, draft: Draft, tool: str | None, steps: int) -> str | None:
    """Count an attempt before it is made, for a failed one counts too; return the limit it would break."""
    calls = {"tool_calls": 1} if tool else {"model_calls": 1}
    meter = Meter.of(draft.task.budget_used).plus(steps=steps, **calls)
    limit = meter.over(parts.limits)
    if limit is None:
        draft.task = replace(draft.task, budget_used=asdict(meter))
    return limit


def _tool_step(parts: Parts, draft: Draft, decision: RunTool) -> Step:
    effect = parts.tools[decision.tool].contract.effect.value
    arguments = dict(decision.arguments)
    step = _new(draft, "tool", arguments, tool=decision.tool, call_id=decision.call_id)
    return replace(step, effect_class=effect, input_data=arguments)


def _model_step(parts: Parts, draft: Draft, _decision: AskModel) -> Step:
    step = _new(draft, "model", None)
    request = build(parts.workflow, draft.task, draft.steps, step.key)
    return replace(step, input_hash=digest(request.model_dump(mode="json")))


def _new(draft: Draft, kind: Any, hashed: Any, *, tool: str | None = None, call_id: str = "") -> Step:
    number = max((s.step_id for s in draft.steps), default=0) + 1
    return Step(draft.task.request_id, number, 1, kind, digest(hashed), draft.now, tool=tool, call_id=call_id)
