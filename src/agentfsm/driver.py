"""The driver of one task: act on the pending steps, then commit their results with the next intents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from agentfsm import machine, waiting
from agentfsm.acting import act
from agentfsm.attempts import Reply
from agentfsm.entering import enter
from agentfsm.errors import AgentError, Conflict
from agentfsm.hearing import hear, receive
from agentfsm.holding import Holding
from agentfsm.parts import Parts
from agentfsm.records import Inbound, Step, Task, TaskResult
from agentfsm.results import claim
from agentfsm.settling import settle
from agentfsm.stopping import Attempt, cancel, stop_by_switch


class Driver:
    """Carries one task to its end, to a wait, or to a pause of more than `patience_s`.

    Where it was `claimed` by a worker, a cancelled driver is a worker that is shut down: it leaves the task to its
    lease, as if the process had died. Otherwise it is the user who cancels.
    """

    def __init__(
        self,
        parts: Parts,
        owner: str,
        task: Task,
        steps: Sequence[Step],
        *,
        claimed: bool = False,
        patience_s: float = float("inf"),
    ) -> None:
        self._parts = parts
        self._patience_s = min(patience_s, parts.patience_s)
        self._of_worker = claimed
        self._held = Holding(parts, owner, task, steps, claimed=claimed)
        self._under_way: dict[Attempt, Reply | None] = {}

    async def run(self, event: Inbound | None = None) -> TaskResult:
        """Start or resume, with an event that ends the task's wait, and go on until there is nothing to do now."""
        try:
            await self._enter(event)
            while await self._go_on():
                pass
            if self._held.claimed:
                await self._give_back()
        except asyncio.CancelledError:
            if not self._of_worker:
                with contextlib.suppress(AgentError):  # another writer was faster: its outcome stands
                    await cancel(self._parts, self._held, self._under_way)
            raise
        return claim(self._parts.workflow, self._held.task, self._held.steps)

    async def _go_on(self) -> bool:
        """Do one round; return whether there may be another."""
        held = self._held
        if held.cancel_asked and await cancel(self._parts, held, self._under_way):
            return True
        if machine.at_rest(held.task.fsm_state):
            return await hear(self._parts, held)
        pending = [step for step in held.steps if step.status == "pending"]
        if not pending:
            raise AgentError(f"task {held.task.request_id!r} has no open step", code="corrupt_history")
        now = self._parts.clock.time()
        due = [step for step in pending if (step.not_before or 0.0) <= now]
        if not due:
            return await self._pause(min(step.not_before or 0.0 for step in pending) - now)
        if not held.claimed or held.task.next_run_at is not None or self._switched() != "off":
            return await self._wake()
        if len(due) == 1:
            await self._settle({due[0].step_id: await self._act(due[0])})
        else:
            await self._act_on_all(due)
        return True

    async def _act(self, step: Step) -> Reply:
        self._under_way[step.step_id, step.attempt] = None
        reply = await act(self._parts, self._held.task, self._held.steps, step, self._held.deadline(step))
        self._under_way[step.step_id, step.attempt] = reply
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
        if self._held.claimed:
            await self._give_back()
        if pause_s > self._patience_s:
            return False
        await self._parts.clock.sleep(pause_s)
        return True

    async def _wake(self) -> bool:
        """Claim the task after a pause, unless the kill switch has something against it; say whether to go on."""
        await self._parts.board.read()
        draft, switched = self._held.draft(), self._switched()
        if switched == "stop":
            stop_by_switch(self._parts, draft)
        elif switched == "pause":
            waiting.hold(draft)
        else:
            draft.note("woken", attempt=draft.task.attempt)
            draft.say("wake")
        try:
            await self._held.commit(draft)
        except Conflict:  # another worker was here first: it goes on
            await self._held.reload()
            return False
        return True

    def _switched(self) -> str:
        """Return what the kill switch says; a compensation that has begun is not its matter."""
        held = self._held.task
        return "off" if held.ending is not None else self._parts.switches.stopped(self._parts.workflow.label)

    async def _enter(self, event: Inbound | None) -> None:
        """Open the task: a new one is started; an attempt that was under way is in doubt."""
        held = self._held
        if event is not None:
            await receive(self._parts, held, event)
            return
        draft = held.draft()
        if enter(self._parts, draft, held.whole, held.deadline):
            held.wall = held.whole(draft.task)
            await held.commit(draft)

    async def _give_back(self) -> None:
        """Give the lease back, for there is nothing to do now."""
        draft = self._held.draft()
        if machine.at_rest(draft.task.fsm_state):
            waiting.look_later(draft, self._held.wall)
        else:
            draft.note("released")
            draft.say("release")
        try:
            await self._held.commit(draft)
        except Conflict:  # somebody else has taken it up
            await self._held.reload()

    async def _settle(self, replies: dict[int, Reply]) -> None:
        draft = self._held.draft()
        heard = [step for step in draft.pending if step.step_id in replies]
        for step in heard:
            reply = replies[step.step_id]
            settle(self._parts, draft, step, reply, self._held.wall, self._held.deadline(step))
            if reply.output is not None and step.tool is not None and step.effect_class == "pure":
                self._parts.remember(step, draft.now, reply.output)
        await self._held.commit(draft)
        for step in heard:
            del self._under_way[step.step_id, step.attempt]
