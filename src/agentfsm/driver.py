"""The driver of one task: act on the pending step, then commit its result with the next intent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from agentfsm import machine
from agentfsm.attempts import Reply, call_model, call_tool, lost
from agentfsm.contracts import Effect, digest
from agentfsm.conversation import build
from agentfsm.draft import Draft
from agentfsm.errors import AgentError, InputChanged
from agentfsm.parts import Parts
from agentfsm.records import IN_DOUBT, INTERRUPTED, Inbound, Step, Task, TaskResult
from agentfsm.recovery import Deadline
from agentfsm.results import claim
from agentfsm.states import TERMINAL, Event, State
from agentfsm.steering import again, plan, settle


class Driver:
    """Carries one task to its end. Holds the task only as it was last committed."""

    def __init__(self, parts: Parts, task: Task, steps: Sequence[Step]) -> None:
        self._parts = parts
        self._task = task
        self._steps = list(steps)
        left = task.created_at + parts.limits.wall_s - parts.clock.time()
        self._wall = Deadline.after(parts.clock, left)
        self._deadlines: dict[int, Deadline] = {}
        self._sent = False

    async def run(self) -> TaskResult:
        """Start or resume, and go on until the machine says report."""
        try:
            await self._enter()
            while machine.Command.REPORT not in machine.commands(self._task.fsm_state):
                step = self._pending()
                if step is None:
                    raise AgentError(f"task {self._task.request_id!r} has no open step", code="corrupt_history")
                self._sent = True
                reply = await self._act(step)
                self._sent = False
                if pause := await self._settle(step, reply):
                    await self._parts.clock.sleep(pause)
        except asyncio.CancelledError:
            with contextlib.suppress(AgentError):  # another writer was faster: its outcome stands
                await self._cancel()
            raise
        return claim(self._parts.workflow, self._task, self._steps)

    def _pending(self) -> Step | None:
        return next((step for step in self._steps if step.status == "pending"), None)

    async def _enter(self) -> None:
        """Open the task: a new one is started; an attempt that was under way is in doubt."""
        draft, pending = self._draft(), self._pending()
        if self._task.version == 0:
            draft.event = Inbound("user", f"{self._task.request_id}:start", "user_request_received")
            draft.say("start")
            draft.fire(Event.USER_REQUEST_RECEIVED)
            plan(self._parts, draft, self._wall)
            await self._commit(draft)
        elif pending is not None:
            await self._settle(pending, lost(INTERRUPTED))  # nobody is waited for: no pause
        elif self._task.fsm_state is State.WAITING_EXTERNAL:
            await self._ask_again(draft)

    async def _ask_again(self, draft: Draft) -> None:
        """Try once more to learn what became of an effect in doubt; where nobody can tell, leave it."""
        step = self._steps[-1]
        if self._wall.passed:
            draft.end(Event.TIMEOUT, "unknown", self._task.cause)
        elif self._parts.may_repeat(step.tool) and again(self._parts, draft, step) is None:
            draft.fire(Event.USER_REQUEST_RECEIVED, outcome=None, cause=None)
        else:
            return
        await self._commit(draft)

    async def _act(self, step: Step) -> Reply:
        deadline = self._deadline(step)
        if step.kind == "model":
            before = [s for s in self._steps if s.step_id < step.step_id]
            request = build(self._parts.workflow, self._task, before, step.key)
            if digest(request.model_dump(mode="json")) != step.input_hash:
                raise InputChanged(f"{step.key} was opened with another request; nothing was sent", key=step.key)
            return await call_model(self._parts.model, request, deadline)
        tool = self._parts.tools[step.tool or ""]
        doubt = any(s.step_id == step.step_id and s.error_code == IN_DOUBT for s in self._steps)
        ask_first = doubt and tool.contract.effect is Effect.QUERYABLE
        return await call_tool(tool, step.input_data, step.key, deadline, ask_first=ask_first)

    async def _settle(self, step: Step, reply: Reply) -> float | None:
        draft = self._draft()
        pause = settle(self._parts, draft, step, reply, self._wall, self._deadline(step))
        await self._commit(draft)
        return pause

    async def _cancel(self) -> None:
        """End as cancelled, from what is durable: the commit that was interrupted may have happened."""
        task = await self._parts.store.load(self._task.request_id)
        if task is None or task.fsm_state in TERMINAL:
            return
        self._task, self._steps = task, await self._parts.store.steps(task.request_id)
        draft, step = self._draft(), self._pending()
        if step is not None:
            code = IN_DOUBT if self._sent else "cancelled"
            draft.finish(step, "cancel", status="failed", error_code=code, output_data={"reason": "cancelled"})
        draft.end(Event.CANCEL, "cancelled", "cancelled")
        await self._commit(draft)

    def _deadline(self, step: Step) -> Deadline:
        return self._deadlines.setdefault(step.step_id, self._wall.within(self._parts.limits.step_s))

    def _draft(self) -> Draft:
        return Draft(self._task, self._steps, self._parts.clock.time())

    async def _commit(self, draft: Draft) -> None:
        change = draft.commit()
        version = await self._parts.store.commit(change)
        self._task, self._steps = replace(change.task, version=version), draft.steps
        if self._parts.observer is not None:
            for row in change.audit:
                self._parts.observer({**row, "request_id": self._task.request_id, "version": version})
