"""The runtime: starts and resumes tasks of one workflow, in all its versions, over the ports it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentfsm import leases, states
from agentfsm.attempts import Price
from agentfsm.breaker import Breaker
from agentfsm.breakers import Breakers
from agentfsm.budgets import Limits
from agentfsm.committing import commit
from agentfsm.contracts import Effect
from agentfsm.draft import Draft
from agentfsm.driver import Driver
from agentfsm.errors import Conflict, DefinitionError, InputChanged, UnknownTask
from agentfsm.generation import Generation
from agentfsm.inbox import UNKNOWN_TASK, filed, inbound, judge, repeated
from agentfsm.parts import Parts
from agentfsm.ports import Clock, Model, Store, SystemClock, Tool
from agentfsm.prices import cost_usd
from agentfsm.reading import snapshot
from agentfsm.records import Commit, Inbound, Mode, Step, Task, TaskResult
from agentfsm.recovery import Retry
from agentfsm.results import claim
from agentfsm.rolling_out import RollingOut
from agentfsm.rollout_plan import Rollout
from agentfsm.switchboard import Switchboard
from agentfsm.telling import Observer, Telling
from agentfsm.throttle import Throttle
from agentfsm.waits import EARLY
from agentfsm.workflow import Workflow

_DELIVERIES = 4


class Runtime:
    """Runs tasks durably: every intent is stored before it acts, every result before the next intent.

    `model` may be several, the first one is asked first. `earlier` are further generations of the same workflow: a
    task stays on the one it started with, and `rollout` says which one a new task starts with. `seed` fixes the
    jitter of back-offs. `observer` gets every transition, proposal, refusal, event, compensation and outcome as a
    plain dict, after it became durable: at least once, see `telling`. `approval_s` is how long an approval is waited
    for, `patience_s` the longest pause that `run` itself waits out (a worker leaves longer ones to the store).
    `price` tells the USD of a model's usage. The store stays the caller's to close.
    """

    def __init__(
        self,
        *,
        workflow: Workflow,
        model: Model | Sequence[Model],
        tools: Mapping[str, Tool],
        store: Store,
        clock: Clock | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        seed: int = 0,
        observer: Observer | None = None,
        earlier: Sequence[Generation] = (),
        rollout: Rollout | None = None,
        approval_s: float = 86_400.0,
        patience_s: float = float("inf"),
        price: Price = cost_usd,
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        models = tuple(model) if isinstance(model, Sequence) else (model,)
        retry = retry or Retry(attempts=self._limits.attempts, seed=seed)
        self._board = Switchboard(store)
        self._telling = Telling(observer)
        breakers = Breakers(store, self._clock, breaker or Breaker())
        self._parts: dict[str, Parts] = {}
        for made in (Generation(workflow, dict(tools)), *earlier):
            label = made.workflow.label
            if made.workflow.name != workflow.name or label in self._parts:
                raise DefinitionError(f"generation {label} is there twice, or not one of workflow {workflow.name!r}")
            throttles = {
                name: Throttle(tool.contract, self._clock)
                for name, tool in made.tools.items()
                if tool.contract.concurrency is not None or tool.contract.per_minute is not None
            }
            self._parts[label] = Parts(
                workflow=made.workflow,
                models=made.models or models,
                tools=made.tools,
                store=store,
                clock=self._clock,
                limits=self._limits,
                retry=retry,
                telling=self._telling,
                board=self._board,
                breakers=breakers,
                throttles=throttles,
                price=price,
                approval_s=approval_s,
                patience_s=patience_s,
            )
        self._newest = self._parts[workflow.label]
        self._rolling_out = RollingOut(workflow, tuple(self._parts), rollout, self._board)
        self._live: set[str] = set()

    @property
    def labels(self) -> tuple[str, ...]:
        """Name and version of every generation this runtime can drive."""
        return tuple(self._parts)

    @property
    def store(self) -> Store:
        """Where its tasks are."""
        return self._store

    @property
    def clock(self) -> Clock:
        """What it reads the time from."""
        return self._clock

    async def run(self, *, request_id: str, text: str, dry_run: bool = False, depth: int = 0) -> TaskResult:
        """Start the task, or resume it; a finished or waiting one returns its stored result and runs nothing.

        A `dry_run` answers every tool that has an effect with the example of its contract, and ends as `partial`.
        Raises InputChanged where the id belongs to another text, Conflict where another worker has the task.
        When cancelled, the task ends as `cancelled` and CancelledError goes on; where that end has effects to
        undo, the next resume undoes them.
        """
        return await self._drive(await self._task(request_id, text, "dry_run" if dry_run else "live", depth))

    async def run_as(self, label: str, *, request_id: str, text: str, mode: Mode) -> TaskResult:
        """Start a task on a version of one's choice, or resume it."""
        return await self._drive(await self._task(request_id, text, mode, 0, label))

    async def note(self, request_id: str, kind: str, found: object) -> None:
        """Add an audit row to a task, which stays as it is."""
        task = await self._known(request_id)
        row = {"kind": kind, "found": found}
        change = Commit(label=kind, task=task, at=self._clock.time(), audit=(row,), moves=False)
        await commit(self._of(task), change)

    def effects(self, label: str) -> frozenset[str]:
        """Return the tools of a version that have an effect."""
        contracts = self._parts[label].workflow.contracts
        return frozenset(c.name for c in contracts if c.effect is not Effect.PURE)

    async def submit(self, *, request_id: str, text: str, dry_run: bool = False) -> TaskResult:
        """Store the task for a worker to take up; one that is stored already is left as it is."""
        task = await self._task(request_id, text, "dry_run" if dry_run else "live", 0)
        if task.version == 0:
            draft = Draft(task, (), self._clock.time())
            draft.say("submit")
            draft.note("submitted", workflow=task.workflow)
            receipt = await commit(self._of(task), draft.commit(claims=False))
            task = task.but(version=receipt.version)
        return claim(self._of(task).workflow, task, await self._steps(task))

    async def resume(self, request_id: str) -> TaskResult:
        """Resume a task by its id alone; raise UnknownTask where there is none.

        The lease of a worker that may still be alive is waited out on the clock; one that went on with the task
        in that time keeps it, and Conflict is raised.
        """
        task = await self._known(request_id)
        left = 0.0 if request_id in self._live else leases.left(task, self._clock.time())
        if not left:
            return await self._drive(task)
        await self._clock.sleep(left)
        again = await self._known(request_id)
        return await self._drive(again, waited=again.version == task.version)

    async def drive_claimed(self, task: Task, owner: str) -> TaskResult:
        """Go on with a task that `Store.claim` has given to `owner`."""
        name = task.request_id
        if name in self._live:
            raise Conflict(f"task {name!r} is running here already", code="busy", request_id=name)
        return await self._carry(task, owner, claimed=True)

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
        workflow = self._newest.workflow
        undone_by = {c.compensates: c.name for c in workflow.contracts if c.compensates}
        return {
            "workflow": workflow.label,
            "limits": self._limits.describe(),
            "transitions": states.describe(),
            "stages": [{"name": stage.name, "tools": sorted(stage.tools)} for stage in workflow.stages],
            "waits": [stage.wait.describe(stage.name) for stage in workflow.stages if stage.wait],
            "contracts": [{**c.describe(), "compensation": undone_by.get(c.name)} for c in workflow.contracts],
        }

    async def _task(self, request_id: str, text: str, mode: Mode, depth: int, label: str = "") -> Task:
        """Return the stored task, or a new one on the version that the rollout gives it."""
        task = await self._store.load(request_id)
        if task is not None:
            if task.text != text:
                raise InputChanged(f"request {request_id!r} was started with another text", request_id=request_id)
            return task
        if not self._board.fresh:
            await self._board.read()
        parts = self._parts[label or self._rolling_out.label_for(request_id)]
        workflow = parts.workflow
        if mode != "live":
            needed = (t.contract for t in parts.tools.values() if t.contract.effects and t.contract.example is None)
            if missing := sorted(contract.name for contract in needed):
                raise DefinitionError(f"a {mode} needs an example in the contracts of {missing}: ToolContract(example=)")
        business = workflow.begin(text)
        return Task(
            request_id=request_id,
            text=text,
            workflow=workflow.label,
            fsm_state=states.State.INIT,
            current_step=workflow.stage(business).name,
            created_at=self._clock.time(),
            business_state=business,
            mode=mode,
            depth=depth,
        )

    async def _deliver(self, request_id: str, event: Inbound) -> TaskResult:
        store, now = self._store, self._clock.time()
        seen = await store.event(event.source, event.event_id)
        task = await store.load(request_id)
        parts = self._newest if task is None else self._of(task)
        if seen is not None and seen.reason == UNKNOWN_TASK and task is not None:
            seen = None
        fate = judge(parts.workflow, task, event, now)
        if seen is None and fate is None and request_id not in self._live and task is not None:
            return await self._drive(task, event)
        status = "held" if fate in {None, EARLY} else "ignored"
        row = task or Task(request_id, "", parts.workflow.label, states.State.INIT, "", now)
        change = filed(row, event, status, fate or EARLY, now) if seen is None else repeated(row, event, now)
        await commit(parts, change)
        task = await self._known(request_id)
        if request_id in self._live or leases.left(task, self._clock.time()):
            return claim(parts.workflow, *await snapshot(store, request_id))
        return await self._drive(task)

    async def _known(self, request_id: str) -> Task:
        task = await self._store.load(request_id)
        if task is None:
            raise UnknownTask(f"there is no task {request_id!r}; start it with run()", request_id=request_id)
        return task

    async def _steps(self, task: Task) -> list[Step]:
        if not task.version:
            return []
        now, steps = await snapshot(self._store, task.request_id)
        if now.version != task.version:
            raise Conflict(f"task {task.request_id!r} has just been moved on", request_id=task.request_id)
        return steps

    def _of(self, task: Task) -> Parts:
        parts = self._parts.get(task.workflow)
        if parts is None:
            said = f"task {task.request_id!r} belongs to {task.workflow}; here are {', '.join(self._parts)}"
            raise InputChanged(f"{said}. Give its version as one of `earlier`", code="workflow_changed")
        return parts

    async def _drive(self, task: Task, event: Inbound | None = None, *, waited: bool = False) -> TaskResult:
        self._of(task)
        name = task.request_id
        if name in self._live:
            raise Conflict(f"task {name!r} is running here already", code="busy", request_id=name)
        left = 0.0 if waited else leases.left(task, self._clock.time())
        if left:
            said = f"task {name!r} is with another worker for up to {left:.1f} s more; resume() waits for it"
            raise Conflict(said, code="busy", request_id=name, left_s=left)
        with leases.owner() as owner:
            return await self._carry(task, owner, event)

    async def _carry(self, task: Task, owner: str, event: Inbound | None = None, *, claimed: bool = False) -> TaskResult:
        self._live.add(task.request_id)
        try:
            if not self._board.fresh:
                await self._board.read()
            await self._telling.catch_up(self._store, task)
            steps = await self._steps(task)
            result = await Driver(self._of(task), owner, task, steps, claimed=claimed).run(event)
        finally:
            self._live.discard(task.request_id)
        if task.fsm_state not in states.TERMINAL:
            await self._rolling_out.ended(self, task, result)
        return result
