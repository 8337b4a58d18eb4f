"""Holding a task: the task as it was last committed, the lease on it, and its deadlines."""

from __future__ import annotations

from collections.abc import Sequence

from agentfsm import machine
from agentfsm.committing import commit
from agentfsm.draft import Draft
from agentfsm.parts import Parts
from agentfsm.reading import snapshot
from agentfsm.records import Commit, Step, Task
from agentfsm.recovery import Deadline


class Holding:
    """What a driver has of its task.

    The first commit claims the task for `owner`, every further one prolongs the lease, one that pauses or ends gives
    it back. A task that was `claimed` beforehand is the owner's already.
    """

    def __init__(self, parts: Parts, owner: str, task: Task, steps: Sequence[Step], *, claimed: bool) -> None:
        self._parts = parts
        self.owner = owner
        self.task = task
        self.steps = list(steps)
        self.claimed = claimed
        self.cancel_asked = task.cancel_requested
        self.wall = self.whole(task)
        self._deadlines: dict[int, Deadline] = {}

    def draft(self) -> Draft:
        """Return an empty draft of the next commit."""
        return Draft(self.task, self.steps, self._parts.clock.time())

    async def commit(self, draft: Draft) -> None:
        """Write a draft; the lease is given back where the task rests, or pauses until its next attempt."""
        rests = machine.at_rest(draft.task.fsm_state)
        wake_at = None if rests else draft.paused_until()
        free = rests or wake_at is not None
        lease_s = max(self._parts.limits.lease_s, self._parts.limits.step_s)
        changes = {} if rests else {"next_run_at": wake_at}
        draft.task = draft.task.but(
            owner=None if free else self.owner,
            lease_until=0.0 if free else draft.now + lease_s,
            fence=draft.task.fence + (not self.claimed),
            **changes,
        )
        await self.write(draft.commit(claims=not self.claimed))
        self.steps = draft.steps
        self.claimed = not free

    async def write(self, change: Commit) -> None:
        """Write a commit, and take notice of what others have asked for meanwhile."""
        receipt = await commit(self._parts, change)
        if change.moves:
            self.task = change.task.but(version=receipt.version)
        self.cancel_asked = receipt.cancel
        await self._parts.board.follow(receipt.controls)

    async def reload(self) -> None:
        """Take the task as another worker has left it."""
        self.task, self.steps = await snapshot(self._parts.store, self.task.request_id)
        self.claimed = False

    def whole(self, task: Task) -> Deadline:
        """Return the deadline of the task; a declared wait stops its clock."""
        left = task.created_at + task.waited_s + self._parts.limits.wall_s - self._parts.clock.time()
        return Deadline.after(self._parts.clock, left)

    def deadline(self, step: Step) -> Deadline:
        """Return the deadline of a step; one that was parked has begun anew."""
        own = self._deadlines.get(step.step_id)
        if own is None or (step.not_before is not None and own.passed):
            step_s = self._parts.limits.step_s
            own = Deadline.after(self._parts.clock, step_s) if step.kind == "undo" else self.wall.within(step_s)
            self._deadlines[step.step_id] = own
        return own
