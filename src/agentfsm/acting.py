"""Acting: one attempt at the pending step, at the model or at a tool."""

from __future__ import annotations

from collections.abc import Sequence

from agentfsm.attempts import Reply, call_model, call_tool
from agentfsm.contracts import Effect, digest
from agentfsm.conversation import build
from agentfsm.errors import InputChanged
from agentfsm.parts import Parts
from agentfsm.records import IN_DOUBT, Step, Task
from agentfsm.recovery import Deadline


async def act(parts: Parts, task: Task, steps: Sequence[Step], step: Step, deadline: Deadline) -> Reply:
    """Make the attempt; raise InputChanged where the history no longer gives the request that was opened."""
    if step.kind == "model":
        before = [s for s in steps if s.step_id < step.step_id]
        request = build(parts.workflow, task, before, step.key)
        if digest(request.model_dump(mode="json")) != step.input_hash:
            raise InputChanged(f"{step.key} was opened with another request; nothing was sent", key=step.key)
        return await call_model(parts.model, request, deadline)
    tool = parts.tools[step.tool or ""]
    doubt = any(s.step_id == step.step_id and s.error_code == IN_DOUBT for s in steps)
    ask_first = doubt and tool.contract.effect is Effect.QUERYABLE
    return await call_tool(tool, step.input_data, step.key, deadline, ask_first=ask_first)
