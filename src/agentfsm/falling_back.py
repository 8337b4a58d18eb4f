"""Falling back: what answers in place of a tool that cannot, written into one draft. Decides, and does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentfsm.checking import forbidden
from agentfsm.contracts import canonical, digest
from agentfsm.decisions import RunTool
from agentfsm.draft import Draft
from agentfsm.ending import DEGRADED
from agentfsm.errors import InvalidArguments
from agentfsm.fallbacks import Cached, Degraded, Fallback, OtherTool
from agentfsm.parts import Parts
from agentfsm.records import Step
from agentfsm.recovery import Deadline
from agentfsm.reserving import reserve
from agentfsm.states import Event, State
from agentfsm.steering import tool_step
from agentfsm.waiting import ask_person


def fall_back(parts: Parts, draft: Draft, dead: Step, wall: Deadline) -> bool:
    """Take the next fallback of a tool that failed for good; return False where there is none left."""
    if dead.kind != "tool" or wall.passed:
        return False
    tried = len({s.step_id for s in draft.steps if s.stands_in_for == dead.step_id})
    for number, fallback in enumerate(parts.workflow.fallbacks.get(dead.tool or "", ())):
        if number >= tried and _take(parts, draft, dead, fallback):
            draft.note(
                "fallback", step=dead.step_id, tool=dead.tool, number=number + 1, kind_of=type(fallback).__name__
            )
            return True
        if number >= tried:  # it has nothing to give; the place is taken, so that the next one has its number
            none = {"error": "no_answer", "reason": f"{type(fallback).__name__} has nothing to give"}
            draft.stand_in(dead, "failed", "no_answer", none)
            tried += 1
    return False


def _take(parts: Parts, draft: Draft, dead: Step, fallback: Fallback) -> bool:
    if isinstance(fallback, OtherTool):
        return _other_tool(parts, draft, dead, fallback)
    if isinstance(fallback, Cached):
        output = parts.cache.get(dead.tool or "", dead.input_hash, draft.now - fallback.max_age_s)
        if output is None:
            return False
        _answer(parts, draft, dead, "cached", output)
    elif isinstance(fallback, Degraded):
        _answer(parts, draft, dead, DEGRADED, fallback.output)
    else:
        ask_person(draft, dead, fallback.timeout_s)
    return True


def _other_tool(parts: Parts, draft: Draft, dead: Step, fallback: OtherTool) -> bool:
    contract = parts.tools[fallback.tool].contract
    if parts.switches.tool_disabled(contract, draft.now) is not None:
        return False
    try:
        arguments = contract.parse(canonical(dict(fallback.arguments(dead.input_data))))
    except (InvalidArguments, KeyError, TypeError, ValueError):
        return False
    if forbidden(parts.workflow, contract.name, arguments, draft.task.business_state) is not None:
        return False
    if reserve(parts, draft, fallback.tool, steps=1) is not None:
        return False
    draft.intend(
        tool_step(parts, draft, RunTool(fallback.tool, arguments, dead.call_id, digest(arguments)), dead.step_id)
    )
    draft.fire(Event.TOOL_PROPOSED)
    return True


def _answer(parts: Parts, draft: Draft, dead: Step, code: str, output: Mapping[str, Any]) -> None:
    draft.stand_in(dead, "success", code, output)
    draft.take(parts.workflow, dead, output)
    if draft.task.fsm_state is State.EXECUTING_STEP:  # a wait or another stand-in may have come in between
        draft.fire(Event.TOOL_RESULT_RECEIVED)
