"""The driver of one task: act on the pending step, then commit its result with the next intent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from agentfsm import machine, waiting
from agentfsm.acting import act
from agentfsm.attempts import Reply, lost
from agentfsm.committing import commit
from agentfsm.draft import Draft
from agentfsm.ending import conclude, proceed
from agentfsm.errors import AgentError, Conflict
from agentfsm.inbox import filed, judge
from agentfsm.parts import Parts
from agentfsm.reading import snapshot
from agentfsm.records import IN_DOUBT, INTERRUPTED, Commit, Inbound, Step, Task, TaskResult
from agentfsm.recovery import Deadline
from agentfsm.results import claim
from agentfsm.settling import settle
from agentfsm.states import TERMINAL, Event, State
from agentfsm.steering import again, plan
from agentfsm.waits import EARLY


class Driver:
    """Carries one task to its end, or to a wait. Holds the task only as it was last committed.

    The first commit claims the task for `owner`, every further one prolongs the lease, the last gives it back.
    """

    def __init__(self, parts: Parts, owner: str, task: Task, steps: Sequence[Step]) -> None:
        self._parts = parts
        self._owner = owner
        self._task = task
        self._steps = list(steps)
        self._wall = self._whole(task)
        self._deadlines: dict[int, Deadline] = {}
        self._sent = False
        self._claimed = False

    async def run(self, event: Inbound | None = None) -> TaskResult:
        """Start or resume, with an event that ends the task's wait, and go on until the machine says report."""
        try:
            await self._enter(event)
            while not self._at_rest() or await self._hear():
                if self._at_rest():
                    continue
                step = self._pending()
                if step is None:
                    raise AgentError(f"task {self._task.request_id!r} has no open step", code="corrupt_history")
                self._sent = True
                reply = await act(self._parts, self._task, self._steps, step, self._deadline(step))
                self._sent = False
                if pause := await self._settle(step, reply):
                    await self._parts.clock.sleep(pause)
        except asyncio.CancelledError:
            with contextlib.suppress(AgentError):  # another writer was faster: its outcome stands
                await self._cancel()
            raise
        return claim(self._parts.workflow, self._task, self._steps)

    def _at_rest(self) -> bool:
        return machine.Command.REPORT in machine.commands(self._task.fsm_state)

    def _pending(self) -> Step | None:
        return next((step for step in self._steps if step.status == "pending"), None)

    async def _enter(self, event: Inbound | None) -> None:
        """Open the task: a new one is started; an attempt that was under way is in doubt."""
        draft, pending = self._draft(), self._pending()
        if self._task.version == 0:
            draft.event = Inbound("runtime", f"{self._task.request_id}:start", "user_request_received")
            draft.say("start")
            draft.fire(Event.USER_REQUEST_RECEIVED)
            plan(self._parts, draft, self._wall)
            await self._commit(draft)
        elif event is not None:
            await self._receive(event)
        elif pending is not None:
            await self._settle(pending, lost(INTERRUPTED))  # nobody is waited for: no pause
        elif self._task.fsm_state is State.WAITING_EXTERNAL and self._task.wait_until is None:
            await self._ask_again(draft)

    async def _ask_again(self, draft: Draft) -> None:
        """Try once more to learn what became of an effect in doubt; where nobody can tell, leave it."""
        step = self._steps[-1]
        undo = step.kind == "undo"
        late = self._wall.passed
        if (undo or not late) and self._parts.may_repeat(step.tool) and again(self._parts, draft, step) is None:
            draft.fire(Event.USER_REQUEST_RECEIVED, outcome=None, cause=None)
        elif late and undo:
            draft.fire(Event.WAIT_EXPIRED, outcome=None, cause=None)
            proceed(self._parts, draft)
        elif late:
            conclude(self._parts, draft, Event.TIMEOUT, "unknown", self._task.cause)
        else:
            return
        await self._commit(draft)

    async def _hear(self) -> bool:
        """At rest, see to events that came early and to a wait whose time is over; say whether to go on."""
        try:
            return await self._listen()
        except Conflict:  # another worker heard it first: it goes on, here is what is known
            self._task, self._steps = await snapshot(self._parts.store, self._task.request_id)
            return False

    async def _listen(self) -> bool:
        until, now = self._task.wait_until, self._parts.clock.time()
        if until is None and self._task.fsm_state not in TERMINAL:
            return False
        for event in await self._parts.store.inbox(self._task.request_id):
            reason = judge(self._parts.workflow, self._task, event, now=0.0)  # it came in time
            if reason is None:
                await self._receive(event)
                return True
            if reason != EARLY:
                await self._write(filed(self._task, event, "ignored", reason, now))
        if until is None or now < until:
            return False
        draft = self._draft()
        waiting.expire(self._parts, draft)
        await self._commit(draft)
        return True

    async def _receive(self, event: Inbound) -> None:
        draft = self._draft()
        waiting.receive(self._parts, draft, event)
        self._wall = self._whole(draft.task)
        plan(self._parts, draft, self._wall)
        await self._commit(draft)

    async def _settle(self, step: Step, reply: Reply) -> float | None:
        draft = self._draft()
        pause = settle(self._parts, draft, step, reply, self._wall, self._deadline(step))
        await self._commit(draft)
        return pause

    async def _cancel(self) -> None:
        """End as cancelled, from what is durable: the commit that was interrupted may have happened."""
        task, steps = await snapshot(self._parts.store, self._task.request_id)
        held = self._task.fence + (not self._claimed)
        if task.fsm_state in TERMINAL or task.ending is not None:
            return  # a decided end stays; its compensation goes on where it was
        if task.fence != held or task.owner not in {None, self._owner}:
            return
        self._claimed = True
        self._task, self._steps = task, steps
        draft, step = self._draft(), self._pending()
        if step is not None:
            code = IN_DOUBT if self._sent else "cancelled"
            draft.finish(step, "cancel", status="failed", error_code=code, output_data={"reason": "cancelled"})
        conclude(self._parts, draft, Event.CANCEL, "cancelled", "cancelled")
        await self._commit(draft)

    def _whole(self, task: Task) -> Deadline:
        left = task.created_at + task.waited_s + self._parts.limits.wall_s - self._parts.clock.time()
        return Deadline.after(self._parts.clock, left)

    def _deadline(self, step: Step) -> Deadline:
        step_s = self._parts.limits.step_s
        own = Deadline.after(self._parts.clock, step_s) if step.kind == "undo" else self._wall.within(step_s)
        return self._deadlines.setdefault(step.step_id, own)

    def _draft(self) -> Draft:
        return Draft(self._task, self._steps, self._parts.clock.time())

    async def _commit(self, draft: Draft) -> None:
        done = machine.Command.REPORT in machine.commands(draft.task.fsm_state)
        lease_s = max(self._parts.limits.lease_s, self._parts.limits.step_s)
        draft.task = replace(
            draft.task,
            owner=None if done else self._owner,
            lease_until=0.0 if done else draft.now + lease_s,
            fence=draft.task.fence + (not self._claimed),
        )
        await self._write(replace(draft.commit(), claims=not self._claimed))
        self._steps = draft.steps

    async def _write(self, change: Commit) -> None:
        version = await commit(self._parts, change)
        self._claimed = self._claimed or change.claims
        if change.moves:
            self._task = replace(change.task, version=version)
