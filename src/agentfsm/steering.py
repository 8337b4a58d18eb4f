"""Steering: what comes next, written into one draft. Decides, and does no I/O."""

from __future__ import annotations

from dataclasses import replace

from agentfsm.contracts import digest
from agentfsm.conversation import build
from agentfsm.draft import Draft
from agentfsm.ending import conclude, proceed
from agentfsm.parts import Parts
from agentfsm.planner import AskModel, Await, End, Refuse, RunTool, decide
from agentfsm.records import Step
from agentfsm.recovery import Deadline
from agentfsm.reserving import count_undo, reserve
from agentfsm.states import Event
from agentfsm.waiting import begin


def again(parts: Parts, draft: Draft, step: Step) -> str | None:
    """Open the next attempt of a failed step with the same input; return the limit that forbids it."""
    if step.attempt >= parts.limits.attempts:
        return "limit_attempts"
    limit = None
    if step.kind == "undo":
        count_undo(draft, step.tool or "", steps=0)
    else:
        limit = reserve(parts, draft, step.tool, steps=0)
    if limit is None:
        fresh = {"status": "pending", "output_data": None, "error_code": None, "finished_at": None}
        draft.intend(replace(step, attempt=step.attempt + 1, created_at=draft.now, **fresh))  # type: ignore[arg-type]
    return limit


def plan(parts: Parts, draft: Draft, wall: Deadline) -> None:
    """Refuse, open the next step, or end: until there is something to act on or nothing left to do."""
    if draft.task.ending is not None:
        proceed(parts, draft)
        return
    while True:
        decision = decide(parts.workflow, parts.limits, draft.task, draft.steps)
        if isinstance(decision, Refuse):
            told = {"error": decision.code, "reason": decision.reason}
            refusal = draft.new("refusal", told, tool=decision.tool, call_id=decision.call_id)
            draft.refuse(replace(refusal, status="failed", error_code=decision.code, output_data=told))
            draft.fire(Event.VALIDATION_ERROR)
            continue
        if isinstance(decision, End):
            conclude(parts, draft, decision.event, decision.outcome, decision.cause, decision.answer)
            return
        if isinstance(decision, Await):
            begin(draft, decision.wait, decision.answer)
            return
        limit = "limit_wall_s" if wall.passed else reserve(parts, draft, getattr(decision, "tool", None), steps=1)
        if limit is not None:
            conclude(parts, draft, Event.TIMEOUT if wall.passed else Event.LIMIT_REACHED, "limit", limit)
        elif isinstance(decision, RunTool):
            draft.intend(_tool_step(parts, draft, decision))
            draft.fire(Event.TOOL_PROPOSED)
        else:
            draft.intend(_model_step(parts, draft, decision))
        return


def _tool_step(parts: Parts, draft: Draft, decision: RunTool) -> Step:
    effect = parts.tools[decision.tool].contract.effect.value
    arguments = dict(decision.arguments)
    step = draft.new("tool", arguments, tool=decision.tool, call_id=decision.call_id)
    return replace(step, effect_class=effect, input_data=arguments)


def _model_step(parts: Parts, draft: Draft, _decision: AskModel) -> Step:
    step = draft.new("model", None)
    request = build(parts.workflow, draft.task, draft.steps, step.key)
    return replace(step, input_hash=digest(request.model_dump(mode="json")))
