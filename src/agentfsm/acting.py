"""Acting: one attempt at a pending step, at the model or at a tool."""

from __future__ import annotations

from collections.abc import Sequence

from agentfsm.attempts import Reply, call_model, call_tool, not_sent
from agentfsm.breaker import Blocked, healthy
from agentfsm.contracts import Effect, digest
from agentfsm.conversation import build
from agentfsm.delegating import DEPTH
from agentfsm.errors import ContractViolation, InputChanged, Throttled
from agentfsm.parts import Parts
from agentfsm.records import Step, Task
from agentfsm.recovery import Deadline, ErrorClass
from agentfsm.standing_in import mapped


async def act(parts: Parts, task: Task, steps: Sequence[Step], step: Step, deadline: Deadline) -> Reply:
    """Make the attempt; raise InputChanged where the history no longer gives the request that was opened."""
    if step.kind == "model":
        before = [s for s in steps if s.step_id < step.step_id]
        request = build(parts.workflow, task, before, step.key)
        # A request that version 1 opened was hashed in another way, and has none.
        if step.input_hash and digest(request.model_dump(mode="json", exclude_none=True)) != step.input_hash:
            raise InputChanged(f"{step.key} was opened with another request; nothing was sent", key=step.key)
        name, model = parts.model_for(steps, step)
        return await call_model(model, name, request, deadline, parts.price)
    contract = parts.tools[step.tool or ""].contract
    if task.mode != "live" and contract.effect is not Effect.PURE:
        return Reply(output=contract.check(contract.example))
    return await _call(parts, task, steps, step, deadline)


async def _call(parts: Parts, task: Task, steps: Sequence[Step], step: Step, deadline: Deadline) -> Reply:
    contract = parts.tools[step.tool or ""].contract
    if (why := parts.switches.tool_disabled(contract, parts.clock.time())) is not None:  # since it was opened
        return Reply(error=ErrorClass.PERMANENT, code="tool_disabled", reason=why)
    name, caller = contract.name, f"{step.key}/{step.attempt}"
    allowed = await parts.breakers.allow(parts.board.controls, name, caller)
    if isinstance(allowed, Blocked):
        return not_sent("breaker_open", retry_after_s=max(0.0, allowed.until - parts.clock.time()))
    reply = await _send(parts, task, steps, step, deadline)
    turned = await parts.breakers.record(parts.board.controls, name, caller, healthy(reply.error, reply.code))
    if turned:
        reply = reply._replace(breaker=turned)
    if reply.output is None or step.stands_in_for is None:
        return reply
    try:
        mapped(parts.workflow, steps, step, reply.output)
    except ContractViolation as error:
        kind = ErrorClass.CONTRACT_VIOLATION
        return Reply(error=kind, code=error.code, reason=str(error), doubt=True, breaker=turned)
    return reply


async def _send(parts: Parts, task: Task, steps: Sequence[Step], step: Step, deadline: Deadline) -> Reply:
    tool = parts.tools[step.tool or ""]
    doubt = any(s.step_id == step.step_id and s.status == "in_doubt" for s in steps)
    ask_first = doubt and tool.contract.effect is Effect.QUERYABLE
    DEPTH.set(task.depth)
    throttle = parts.throttles.get(tool.contract.name)
    if throttle is None:
        return await call_tool(tool, step.input_data, step.key, deadline, ask_first=ask_first)
    try:
        async with throttle.slot(deadline):
            return await call_tool(tool, step.input_data, step.key, deadline, ask_first=ask_first)
    except Throttled as error:
        return not_sent("throttled", retry_after_s=error.retry_after_s)
