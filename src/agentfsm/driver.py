"""The driver of one task: act on the pending steps, then commit their results with the next intents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from agentfsm import entering, machine, waiting
from agentfsm.acting import act
from agentfsm.attempts import Reply
from agentfsm.draft import Draft
from agentfsm.ending import conclude
from agentfsm.errors import AgentError, Conflict
from agentfsm.holding import Holding
from agentfsm.inbox import filed, judge
from agentfsm.parts import Parts
from agentfsm.reading import snapshot
from agentfsm.records import Inbound, Step, Task, TaskResult
from agentfsm.results import claim
from agentfsm.settling import go_on, settle
from agentfsm.states import TERMINAL, Event
from agentfsm.steering import again
from agentfsm.waits import EARLY


class Driver:
    """Carries one task to its end, to a wait, or to a pause that is too long for this run."""

    def __init__(self, parts: Parts, owner: str, task: Task, steps: Sequence[Step], *, claimed: bool = False) -> None:
        self._parts = parts
        self._held = Holding(parts, owner, task, steps, claimed=claimed)
        self._sent: set[int] = set()

    async def run(self, event: Inbound | None = None) -> TaskResult:
        """Start or resume, with an event that ends the task's wait, and go on until there is nothing to do now."""
        try:
            await self._enter(event)
            while await self._go_on():
                pass
        except asyncio.CancelledError:
            with contextlib.suppress(AgentError):  # another writer was faster: its outcome stands
                await self._cancel()
            raise
        return claim(self._parts.workflow, self._held.task, self._held.steps)

    async def _go_on(self) -> bool:
        """Do one round; return whether there may be another."""
        if self._held.cancel_asked and await self._cancel():
            return True
        if machine.at_rest(self._held.task.fsm_state):
            return await self._hear()
        pending = [step for step in self._held.steps if step.status == "pending"]
        if not pending:
            raise AgentError(f"task {self._held.task.request_id!r} has no open step", code="corrupt_history")
        now = self._parts.clock.time()
        due = [step for step in pending if (step.not_before or 0.0) <= now]
        if not due:
            return await self._pause(min(step.not_before or 0.0 for step in pending) - now)
        if not self._held.claimed:
            return await self._wake()
        if len(due) == 1:
            await self._settle({due[0].step_id: await self._act(due[0])})
        else:
            await self._act_on_all(due)
        return True

    async def _act(self, step: Step) -> Reply:
        self._sent.add(step.step_id)
        reply = await act(self._parts, self._held.task, self._held.steps, step, self._held.deadline(step))
        self._sent.discard(step.step_id)
        return reply

    async def _act_on_all(self, steps: Sequence[Step]) -> None:
        """Act on a group at once; whatever has come back by then is committed together."""
        running = {asyncio.ensure_future(self._act(step)): step for step in steps}
        try:
            while running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                replies = {running.pop(job).step_id: job.result() for job in list(running) if job in done}
                await self._settle(replies)
        finally:
            for job in running:
                job.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _pause(self, pause_s: float) -> bool:
        """Wait for the next attempt outside the lease; return False where that is left to a later run."""
        if pause_s > self._parts.patience_s:
            return False
        await self._parts.clock.sleep(pause_s)
        return True

    async def _wake(self) -> bool:
        """Claim the task after a pause, unless the kill switch has something against it; say whether to go on."""
        await self._parts.board.read()
        held = self._parts.switches.stopped(self._parts.workflow.label)
        if held == "pause":
            return await self._pause(waiting.HOLD_S)
        draft = self._held.draft()
        if held == "stop":
            self._close_open(draft, "kill_switch")
            conclude(self._parts, draft, Event.CANCEL, "cancelled", "kill_switch")
        else:
            draft.task = draft.task.but(next_run_at=None)
            draft.note("woken", attempt=draft.task.attempt)
            draft.say("wake")
        try:
            await self._held.commit(draft)
        except Conflict:  # another worker was here first: it goes on
            await self._held.reload()
            return False
        return True

    async def _enter(self, event: Inbound | None) -> None:
        """Open the task: a new one is started; an attempt that was under way is in doubt."""
        if event is not None:
            await self._receive(event)
            return
        draft = self._held.draft()
        if entering.enter(self._parts, draft, self._held.wall, self._held.deadline):
            await self._held.commit(draft)

    async def _hear(self) -> bool:
        """At rest, see to events that came early and to a wait whose time is over; say whether to go on."""
        try:
            return await self._listen()
        except Conflict:  # another worker heard it first: it goes on, here is what is known
            await self._held.reload()
            return False

    async def _listen(self) -> bool:
        until, now = self._held.task.wait_until, self._parts.clock.time()
        if until is None and self._held.task.fsm_state not in TERMINAL:
            return False
        for event in await self._parts.store.inbox(self._held.task.request_id) if self._parts.workflow.waits else ():
            reason = judge(self._parts.workflow, self._held.task, event, now=0.0)  # it came in time
            if reason is None:
                await self._receive(event)
                return True
            if reason != EARLY:
                await self._held.write(filed(self._held.task, event, "ignored", reason, now))
        if until is None or now < until:
            return False
        draft = self._held.draft()
        if waiting.expire(self._parts, draft):
            self._held.wall = self._held.whole(draft.task)
            go_on(self._parts, draft, self._held.wall)
        await self._held.commit(draft)
        return True

    async def _receive(self, event: Inbound) -> None:
        draft = self._held.draft()
        step = waiting.receive(self._parts, draft, event)
        self._held.wall = self._held.whole(draft.task)
        if step is None:
            go_on(self._parts, draft, self._held.wall)
        elif again(self._parts, draft, step) is None:
            draft.fire(Event.TOOL_PROPOSED)
        else:
            conclude(self._parts, draft, Event.STEP_FAILED, "failed", "effect_denied")
        await self._held.commit(draft)

    async def _settle(self, replies: dict[int, Reply]) -> None:
        draft = self._held.draft()
        for step in draft.pending:
            if step.step_id in replies:
                reply = replies[step.step_id]
                settle(self._parts, draft, step, reply, self._held.wall, self._held.deadline(step))
                if reply.output is not None and step.tool is not None and step.effect_class == "pure":
                    self._parts.remember(step, draft.now, reply.output)
        await self._held.commit(draft)

    async def _cancel(self) -> bool:
        """End as cancelled, from what is durable: the commit that was interrupted may have happened."""
        self._held.cancel_asked = False
        if self._held.task.version == 0:
            return False
        task, steps = await snapshot(self._parts.store, self._held.task.request_id)
        held = self._held.task.fence + (not self._held.claimed)
        if task.fsm_state in TERMINAL or task.ending is not None:
            return False  # a decided end stays; its compensation goes on where it was
        if task.fence not in {held, self._held.task.fence} or task.owner not in {None, self._held.owner}:
            return False
        self._held.claimed = task.owner == self._held.owner
        self._held.task, self._held.steps = task, steps
        draft = self._held.draft()
        self._close_open(draft, "cancelled")
        conclude(self._parts, draft, Event.CANCEL, "cancelled", "cancelled")
        await self._held.commit(draft)
        return True

    def _close_open(self, draft: Draft, code: str) -> None:
        for step in draft.pending:
            sent = step.step_id in self._sent
            reason = {"reason": "it was under way when the task was cancelled" if sent else "it was not begun"}
            status = "in_doubt" if sent else "failed"
            draft.finish(step, "cancel", status=status, error_code=code, output_data=reason)
