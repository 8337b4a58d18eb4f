"""The desk of a runtime: finds, starts, claims and carries on tasks, each on its own generation."""

from __future__ import annotations

from collections import Counter

from agentfsm import leases, states
from agentfsm.committing import commit
from agentfsm.driver import Driver
from agentfsm.errors import Conflict, DefinitionError, InputChanged, UnknownTask
from agentfsm.inbox import UNKNOWN_TASK, filed, judge, repeated
from agentfsm.parts import Parts, Shared
from agentfsm.reading import snapshot
from agentfsm.records import Commit, Inbound, Incident, Mode, Step, Task, TaskResult
from agentfsm.results import claim
from agentfsm.rolling_out import RollingOut
from agentfsm.waits import EARLY


class Desk:
    """What stands behind the public methods of a runtime.

    `live` counts by task who carries it on here: a second one where a worker took it up in a pause of the first.
    """

    def __init__(self, parts: dict[str, Parts], newest: Parts, shared: Shared, rolling_out: RollingOut) -> None:
        self.parts = parts
        self.newest = newest
        self.shared = shared
        self.rolling_out = rolling_out
        self.live: Counter[str] = Counter()

    async def task(self, request_id: str, text: str, mode: Mode, depth: int, label: str = "") -> Task:
        """Return the stored task, or a new one on the version that the rollout gives it."""
        task = await self.shared.store.load(request_id)
        if task is not None:
            if task.text != text:
                raise InputChanged(f"request {request_id!r} was started with another text", request_id=request_id)
            return task
        if not self.shared.board.fresh or self.rolling_out.under_way:
            await self.shared.board.read()
        parts = self.parts[label or self.rolling_out.label_for(request_id)]
        workflow = parts.workflow
        if mode != "live":
            needed = (t.contract for t in parts.tools.values() if t.contract.effects and t.contract.example is None)
            if missing := sorted(contract.name for contract in needed):
                raise DefinitionError(
                    f"a {mode} needs an example in the contracts of {missing}: ToolContract(example=)"
                )
        business = workflow.begin(text)
        return Task(
            request_id=request_id,
            text=text,
            workflow=workflow.label,
            fsm_state=states.State.INIT,
            current_step=workflow.stage(business).name,
            created_at=self.shared.clock.time(),
            business_state=business,
            mode=mode,
            depth=depth,
        )

    async def deliver(self, request_id: str, event: Inbound) -> TaskResult:
        """Take an event that is well formed; raise Conflict where the task moved meanwhile."""
        store, now = self.shared.store, self.shared.clock.time()
        seen = await store.event(event.source, event.event_id)
        task = await store.load(request_id)
        parts = self.newest if task is None else self.parts_of(task)
        if seen is not None and seen.reason == UNKNOWN_TASK and task is not None:
            seen = None
        fate = judge(parts.workflow, task, event, now)
        if seen is None and fate is None and request_id not in self.live and task is not None:
            return await self.drive(task, event)
        status = "held" if fate in {None, EARLY} else "ignored"
        row = task or Task(request_id, "", parts.workflow.label, states.State.INIT, "", now)
        change = filed(row, event, status, fate or EARLY, now) if seen is None else repeated(row, event, now)
        await commit(parts, change)
        task = await self.known(request_id)
        if request_id in self.live or leases.left(task, self.shared.clock.time()):
            return claim(parts.workflow, *await snapshot(store, request_id))
        return await self.drive(task)

    async def known(self, request_id: str) -> Task:
        """Return a stored task; raise UnknownTask."""
        task = await self.shared.store.load(request_id)
        if task is None:
            raise UnknownTask(f"there is no task {request_id!r}; start it with run()", request_id=request_id)
        return task

    async def steps(self, task: Task) -> list[Step]:
        """Return the steps of a task as it was read; raise Conflict where it has moved on."""
        if not task.version:
            return []
        now, steps = await snapshot(self.shared.store, task.request_id)
        if now.version != task.version:
            raise Conflict(f"task {task.request_id!r} has just been moved on", request_id=task.request_id)
        return steps

    def parts_of(self, task: Task) -> Parts:
        """Return what a task runs on; raise InputChanged where its version is not here."""
        parts = self.parts.get(task.workflow)
        if parts is None:
            said = f"task {task.request_id!r} belongs to {task.workflow}; here are {', '.join(self.parts)}"
            raise InputChanged(f"{said}. Give its version as one of `earlier`", code="workflow_changed")
        return parts

    async def drive(self, task: Task, event: Inbound | None = None, *, waited: bool = False) -> TaskResult:
        """Claim a task that nobody is at and carry it on; raise Conflict where somebody is."""
        self.parts_of(task)
        name = task.request_id
        if name in self.live:
            raise Conflict(f"task {name!r} is running here already", code="busy", request_id=name)
        left = 0.0 if waited else leases.left(task, self.shared.clock.time())
        if left:
            said = f"task {name!r} is with another worker for up to {left:.1f} s more; resume() waits for it"
            raise Conflict(said, code="busy", request_id=name, left_s=left)
        with leases.owner() as owner:
            return await self.carry(task, owner, event)

    async def carry(
        self,
        task: Task,
        owner: str,
        event: Inbound | None = None,
        *,
        claimed: bool = False,
        patience_s: float = float("inf"),
    ) -> TaskResult:
        """Carry a task on under an owner's name."""
        self.live[task.request_id] += 1
        try:
            if not self.shared.board.fresh:
                await self.shared.board.read()
            await self.shared.telling.catch_up(self.shared.store, task)
            steps = await self.steps(task)
            driver = Driver(self.parts_of(task), owner, task, steps, claimed=claimed, patience_s=patience_s)
            result = await driver.run(event)
        finally:
            self.live[task.request_id] -= 1
            if not self.live[task.request_id]:
                del self.live[task.request_id]
        if task.fsm_state not in states.TERMINAL:
            await self.rolling_out.ended(self, task, result)
        return result

    async def note(self, request_id: str, kind: str, found: object, incidents: tuple[Incident, ...] = ()) -> None:
        """Add an audit row, and incidents, to a task, which stays as it is."""
        task = await self.known(request_id)
        row, now = {"kind": kind, "found": found}, self.shared.clock.time()
        change = Commit(label=kind, task=task, at=now, audit=(row,), incidents=incidents, moves=False)
        await commit(self.parts_of(task), change)
