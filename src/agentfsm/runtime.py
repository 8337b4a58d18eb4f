"""The runtime: starts and resumes tasks of one workflow over the ports it was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentfsm import leases, states
from agentfsm.budgets import Limits
from agentfsm.committing import commit
from agentfsm.driver import Driver
from agentfsm.errors import Conflict, DefinitionError, InputChanged, UnknownTask
from agentfsm.inbox import OWN_SOURCES, UNKNOWN_TASK, filed, inbound, judge, repeated
from agentfsm.parts import Parts
from agentfsm.ports import Clock, Model, Store, SystemClock, Tool
from agentfsm.reading import snapshot
from agentfsm.records import Inbound, Step, Task, TaskResult
from agentfsm.recovery import Retry
from agentfsm.results import claim
from agentfsm.telling import Observer, Telling
from agentfsm.waits import EARLY
from agentfsm.workflow import Workflow

_DELIVERIES = 4


class Runtime:
    """Runs tasks durably: every intent is stored before it acts, every result before the next intent.

    `seed` fixes the jitter of back-offs. `observer` gets every transition, proposal, refusal, event, compensation
    and outcome as a plain dict, after it became durable: at least once, see `telling`. The store stays the
    caller's to close.
    """

    def __init__(
        self,
        *,
        workflow: Workflow,
        model: Model,
        tools: Mapping[str, Tool],
        store: Store,
        clock: Clock | None = None,
        limits: Limits | None = None,
        seed: int = 0,
        observer: Observer | None = None,
    ) -> None:
        wanted = {contract.name for contract in workflow.contracts}
        if wanted != set(tools):
            raise DefinitionError(f"workflow {workflow.name!r} needs tools {sorted(wanted)}, got {sorted(tools)}")
        limits = limits or Limits()
        retry = Retry(attempts=limits.attempts, seed=seed)
        self._parts = Parts(
            workflow, model, dict(tools), store, clock or SystemClock(), limits, retry, Telling(observer)
        )
        self._live: set[str] = set()

    async def run(self, *, request_id: str, text: str) -> TaskResult:
        """Start the task, or resume it; a finished or waiting one returns its stored result and runs nothing.

        Raises InputChanged where the id belongs to another text, Conflict where another worker has the task.
        When cancelled, the task ends as `cancelled` and CancelledError goes on; where that end has effects to
        undo, the next resume undoes them.
        """
        task = await self._parts.store.load(request_id)
        if task is None:
            workflow = self._parts.workflow
            business = workflow.begin(text)
            task = Task(
                request_id=request_id,
                text=text,
                workflow=workflow.label,
                fsm_state=states.State.INIT,
                current_step=workflow.stage(business).name,
                created_at=self._parts.clock.time(),
                business_state=business,
            )
        elif task.text != text:
            raise InputChanged(f"request {request_id!r} was started with another text", request_id=request_id)
        return await self._drive(task)

    async def resume(self, request_id: str) -> TaskResult:
        """Resume a task by its id alone; raise UnknownTask where there is none.

        The lease of a worker that may still be alive is waited out on the clock; one that went on with the task
        in that time keeps it, and Conflict is raised.
        """
        task = await self._known(request_id)
        left = 0.0 if request_id in self._live else leases.left(task, self._parts.clock.time())
        if not left:
            return await self._drive(task)
        await self._parts.clock.sleep(left)
        again = await self._known(request_id)
        return await self._drive(again, waited=again.version == task.version)

    async def deliver(
        self, *, request_id: str, source: str, event_id: str, kind: str, payload: object = None
    ) -> TaskResult:
        """Take an event from outside, once per `(source, event_id)`, and go on with the task as far as it gets.

        Return only after the event is durable: applied, held for a wait to come, or ignored with a reason. Any
        delivery, also a repeated one, resumes a task that nobody is at. Raises UnknownTask (the event is stored
        all the same) and InvalidEvent.
        """
        event = inbound(source, event_id, kind, payload)
        for left in reversed(range(_DELIVERIES)):
            try:
                return await self._deliver(request_id, event)
            except Conflict:  # the task moved, or the same event came by another way: look again
                if not left:
                    raise
        raise AssertionError("unreachable")

    def describe(self) -> dict[str, Any]:
        """Return the limits, the table of transitions, the stages, the waits and the contracts as plain data."""
        workflow = self._parts.workflow
        undone_by = {c.compensates: c.name for c in workflow.contracts if c.compensates}
        return {
            "workflow": workflow.label,
            "limits": self._parts.limits.describe(),
            "transitions": states.describe(),
            "stages": [{"name": stage.name, "tools": sorted(stage.tools)} for stage in workflow.stages],
            "own_sources": sorted(OWN_SOURCES),
            "waits": [stage.wait.describe(stage.name) for stage in workflow.stages if stage.wait],
            "contracts": [{**c.describe(), "compensation": undone_by.get(c.name)} for c in workflow.contracts],
        }

    async def _deliver(self, request_id: str, event: Inbound) -> TaskResult:
        store, now = self._parts.store, self._parts.clock.time()
        seen = await store.event(event.source, event.event_id)
        task = await store.load(request_id)
        if task is not None:
            self._check(task)
        if seen is not None and seen.reason == UNKNOWN_TASK and task is not None:
            seen = None
        fate = judge(self._parts.workflow, task, event, now)
        if seen is None and fate is None and request_id not in self._live and task is not None:
            return await self._drive(task, event)
        status = "held" if fate in {None, EARLY} else "ignored"
        row = task or Task(request_id, "", self._parts.workflow.label, states.State.INIT, "", now)
        change = filed(row, event, status, fate or EARLY, now) if seen is None else repeated(row, event, now)
        await commit(self._parts, change)
        task = await self._known(request_id)
        if request_id in self._live or leases.left(task, self._parts.clock.time()):
            return claim(self._parts.workflow, *await snapshot(store, request_id))
        return await self._drive(task)

    async def _known(self, request_id: str) -> Task:
        task = await self._parts.store.load(request_id)
        if task is None:
            raise UnknownTask(f"there is no task {request_id!r}; start it with run()", request_id=request_id)
        return task

    async def _steps(self, task: Task) -> list[Step]:
        if not task.version:
            return []
        now, steps = await snapshot(self._parts.store, task.request_id)
        if now.version != task.version:
            raise Conflict(f"task {task.request_id!r} has just been moved on", request_id=task.request_id)
        return steps

    def _check(self, task: Task) -> None:
        label = self._parts.workflow.label
        if task.workflow != label:
            said = f"task {task.request_id!r} belongs to {task.workflow}, not {label}"
            raise InputChanged(said, code="workflow_changed")

    async def _drive(self, task: Task, event: Inbound | None = None, *, waited: bool = False) -> TaskResult:
        self._check(task)
        name = task.request_id
        if name in self._live:
            raise Conflict(f"task {name!r} is running here already", code="busy", request_id=name)
        left = 0.0 if waited else leases.left(task, self._parts.clock.time())
        if left:
            said = f"task {name!r} is with another worker for up to {left:.1f} s more; resume() waits for it"
            raise Conflict(said, code="busy", request_id=name, left_s=left)
        self._live.add(name)
        try:
            with leases.owner() as owner:
                await self._parts.telling.catch_up(self._parts.store, task)
                steps = await self._steps(task)
                return await Driver(self._parts, owner, task, steps).run(event)
        finally:
            self._live.discard(name)
