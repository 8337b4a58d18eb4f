"""The runtime: starts and resumes tasks of one workflow over the ports it was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentfsm import states
from agentfsm.budgets import Limits
from agentfsm.driver import Driver
from agentfsm.errors import Conflict, DefinitionError, InputChanged, UnknownTask
from agentfsm.parts import Observer, Parts
from agentfsm.ports import Clock, Model, Store, SystemClock, Tool
from agentfsm.records import Task, TaskResult
from agentfsm.recovery import Retry
from agentfsm.workflow import Workflow


class Runtime:
    """Runs tasks durably: every intent is stored before it acts, every result before the next intent.

    `seed` fixes the jitter of back-offs. `observer` gets every transition, proposal, refusal and outcome as a
    plain dict, after it became durable. The store stays the caller's to close.
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
        self._parts = Parts(workflow, model, dict(tools), store, clock or SystemClock(), limits, retry, observer)
        self._live: set[str] = set()

    async def run(self, *, request_id: str, text: str) -> TaskResult:
        """Start the task, or resume it; a finished one returns its stored result and runs nothing.

        Raises InputChanged where the id belongs to another text, Conflict where another writer has the task.
        When cancelled, the task ends as `cancelled` and CancelledError goes on.
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
        """Resume a task by its id alone; raise UnknownTask where there is none."""
        task = await self._parts.store.load(request_id)
        if task is None:
            raise UnknownTask(f"there is no task {request_id!r}; start it with run()", request_id=request_id)
        return await self._drive(task)

    def describe(self) -> dict[str, Any]:
        """Return the limits, the table of transitions and the contracts as plain data."""
        workflow = self._parts.workflow
        return {
            "workflow": workflow.label,
            "limits": self._parts.limits.describe(),
            "transitions": states.describe(),
            "contracts": [contract.describe() for contract in workflow.contracts],
        }

    async def _drive(self, task: Task) -> TaskResult:
        name, label = task.request_id, self._parts.workflow.label
        if task.workflow != label:
            raise InputChanged(f"task {name!r} belongs to {task.workflow}, not {label}", code="workflow_changed")
        if name in self._live:
            raise Conflict(f"task {name!r} is running here already", request_id=name)
        self._live.add(name)
        try:
            steps = await self._parts.store.steps(name) if task.version else []
            return await Driver(self._parts, task, steps).run()
        finally:
            self._live.discard(name)
