"""Steering: what comes next, written into one draft. Decides, and does no I/O."""

from __future__ import annotations

from agentfsm.budgets import tokens_of
from agentfsm.contract_rules import alarm
from agentfsm.contracts import digest
from agentfsm.conversation import build, prompt_of
from agentfsm.decisions import Approve, AskModel, Await, End, Refuse, RunTool, RunTools
from agentfsm.draft import Draft
from agentfsm.ending import conclude, proceed
from agentfsm.parts import Parts
from agentfsm.planner import decide
from agentfsm.records import Step
from agentfsm.recovery import Deadline
from agentfsm.reserving import count_undo, reserve
from agentfsm.states import Event
from agentfsm.waiting import ask_approval, begin, hold

LIVE_AGAIN = {"status": "pending", "output_data": None, "error_code": None, "error_class": None, "finished_at": None}


def again(parts: Parts, draft: Draft, step: Step, pause_s: float = 0.0) -> str | None:
    """Open the next attempt of a failed step with the same input; return the limit that forbids it."""
    if step.attempt >= parts.limits.attempts:
        return "limit_attempts"
    limit = None
    if step.kind == "undo":
        count_undo(parts, draft, step.tool or "", steps=0)
    else:
        limit = reserve(parts, draft, step.tool, steps=0)
    if limit is None:
        model = parts.model_for(draft.steps, step)[0] if step.tool is None else None
        draft.intend(
            step.but(
                attempt=step.attempt + 1,
                created_at=draft.now,
                not_before=draft.now + pause_s if pause_s else None,
                model=model,
                **LIVE_AGAIN,
            )
        )
    return limit


def plan(parts: Parts, draft: Draft, wall: Deadline) -> None:
    """Refuse, open the next steps, or end: until there is something to act on or nothing left to do."""
    if draft.task.ending is not None:
        proceed(parts, draft)
        return
    if held_back(parts, draft):
        return
    switches, now = parts.switches, draft.now
    while True:
        decision = decide(
            parts.workflow, parts.limits, lambda c: switches.tool_disabled(c, now), draft.task, draft.steps
        )
        if isinstance(decision, Refuse):
            told = {"error": decision.code, "reason": decision.reason}
            refusal = draft.new("refusal", digest(told), tool=decision.tool, call_id=decision.call_id)
            draft.refuse(refusal.but(status="failed", error_code=decision.code, output_data=told))
            draft.fire(Event.VALIDATION_ERROR)
        elif isinstance(decision, End):
            conclude(parts, draft, decision.event, decision.outcome, decision.cause, decision.answer)
            return
        elif isinstance(decision, Await):
            begin(draft, decision.wait, decision.answer)
            return
        elif isinstance(decision, Approve):
            ask_approval(parts, draft, decision)
            return
        elif isinstance(decision, AskModel) and not parts.models:
            conclude(parts, draft, Event.STEP_FAILED, "failed", "no_model")
            return
        else:
            calls = decision.calls if isinstance(decision, RunTools) else ()
            limit = _open(parts, draft, calls, wall)
            if limit is not None:
                conclude(parts, draft, Event.TIMEOUT if wall.passed else Event.LIMIT_REACHED, "limit", limit)
            return


def held_back(parts: Parts, draft: Draft) -> bool:
    """Do what the kill switch says; return whether it lets nothing new begin."""
    strength = parts.switches.stopped(parts.workflow.label)
    if strength == "stop":
        conclude(parts, draft, Event.CANCEL, "cancelled", "kill_switch")
    elif strength == "pause":
        hold(draft)
    return strength != "off"


def _open(parts: Parts, draft: Draft, calls: tuple[RunTool, ...], wall: Deadline) -> str | None:
    """Open the calls that the budget still has room for, or the next model step; return the limit that forbids it."""
    if wall.passed:
        return "limit_wall_s"
    if not calls:
        return _ask_model(parts, draft)
    for call in calls:
        limit = reserve(parts, draft, call.tool, steps=1)
        if limit is not None:
            return None if draft.pending else limit  # those that are open are heard first
        draft.intend(tool_step(parts, draft, call))
        draft.fire(Event.TOOL_PROPOSED)
    return None


def tool_step(parts: Parts, draft: Draft, call: RunTool, stands_in_for: int | None = None) -> Step:
    """Return the first attempt at a tool; a run that is not live has no effect."""
    contract = parts.tools[call.tool].contract
    step = draft.new(
        "tool",
        call.hash,
        tool=call.tool,
        call_id=call.call_id,
        effect_class=contract.effect.value if draft.task.mode == "live" else "pure",
        input_data=dict(call.arguments),
        tool_version=contract.version,
        stands_in_for=stands_in_for,
    )
    if row := alarm(contract, step.step_id):
        draft.audit(row)
    return step


def _ask_model(parts: Parts, draft: Draft) -> str | None:
    step = draft.new("model")
    request = build(parts.workflow, draft.task, draft.steps, step.key)
    limit = reserve(parts, draft, None, steps=1, tokens=tokens_of(request.messages, None))
    if limit is None:
        draft.intend(
            step.but(
                input_hash=digest(request.model_dump(mode="json", exclude_none=True)),
                model=parts.model_for(draft.steps, step)[0],
                prompt=prompt_of(parts.workflow, draft.task).label,
            )
        )
    return limit
