"""Acting: one attempt at a pending step, at the model or at a tool."""

from __future__ import annotations

from collections.abc import Sequence

from agentfsm.attempts import Reply, call_model, call_tool, not_sent
from agentfsm.breaker import Blocked
from agentfsm.contracts import Effect, digest
from agentfsm.conversation import build
from agentfsm.delegating import DEPTH
from agentfsm.errors import ContractViolation, InputChanged
from agentfsm.falling_back import mapped
from agentfsm.parts import Parts
from agentfsm.records import Step, Task
from agentfsm.recovery import Deadline, ErrorClass
from agentfsm.throttle import NotSent


async def act(parts: Parts, task: Task, steps: Sequence[Step], step: Step, deadline: Deadline) -> Reply:
    """Make the attempt; raise InputChanged where the history no longer gives the request that was opened."""
    if step.kind == "model":
        before = [s for s in steps if s.step_id < step.step_id]
        request = build(parts.workflow, task, before, step.key)
        if digest(request.model_dump(mode="json", exclude_none=True)) != step.input_hash:
            raise InputChanged(f"{step.key} was opened with another request; nothing was sent", key=step.key)
        name, model = parts.model_for(steps, step)
        return await call_model(model, name, request, deadline, parts.price)
    if task.mode != "live" and parts.tools[step.tool or ""].contract.effect is not Effect.PURE:
        return Reply(output=parts.tools[step.tool or ""].contract.check(parts.tools[step.tool or ""].contract.example))
    return await _call(parts, task, steps, step, deadline)


async def _call(parts: Parts, task: Task, steps: Sequence[Step], step: Step, deadline: Deadline) -> Reply:
    tool = parts.tools[step.tool or ""]
    now = parts.clock.time()
    blocked = await parts.breakers.allow(tool.contract.name, parts.board.controls, now, task.owner or "")
    if isinstance(blocked, Blocked):
        return not_sent("breaker_open", retry_after_s=max(0.0, blocked.until - now))
    doubt = any(s.step_id == step.step_id and s.status == "in_doubt" for s in steps)
    ask_first = doubt and tool.contract.effect is Effect.QUERYABLE
    DEPTH.set(task.depth)
    throttle = parts.throttles.get(tool.contract.name)
    if throttle is None:
        reply = await call_tool(tool, step.input_data, step.key, deadline, ask_first=ask_first)
    else:
        try:
            async with throttle.slot(deadline):
                reply = await call_tool(tool, step.input_data, step.key, deadline, ask_first=ask_first)
        except NotSent as error:
            return not_sent("throttled", retry_after_s=error.retry_after_s)
    sick = reply.error in {ErrorClass.TRANSIENT, ErrorClass.CONTRACT_VIOLATION}
    await parts.breakers.record(
        tool.contract.name, parts.board.controls, parts.clock.time(), task.owner or "", ok=not sick
    )
    if reply.output is None or step.kind == "undo":
        return reply
    try:
        return reply.but(output=mapped(parts, steps, step, reply.output))
    except ContractViolation as error:
        return Reply(error=ErrorClass.CONTRACT_VIOLATION, code=error.code, reason=str(error), doubt=True)
