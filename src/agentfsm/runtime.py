"""The runtime: starts and resumes tasks of one workflow, in all its versions, over the ports it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentfsm import asking, leases, states
from agentfsm.breaker import Breaker
from agentfsm.breakers import Breakers
from agentfsm.budgets import Limits
from agentfsm.committing import commit
from agentfsm.desk import Desk
from agentfsm.draft import Draft
from agentfsm.errors import Conflict
from agentfsm.generation import Generation
from agentfsm.inbox import OWN_SOURCES, inbound
from agentfsm.masking import Masker
from agentfsm.parts import Shared, assemble
from agentfsm.ports import Clock, Model, Store, SystemClock, Tool
from agentfsm.prices import Price, cost_usd
from agentfsm.records import Task, TaskResult
from agentfsm.recovery import Retry
from agentfsm.results import claim
from agentfsm.rolling_out import RollingOut
from agentfsm.rollout_plan import Rollout
from agentfsm.switchboard import Switchboard
from agentfsm.telling import Observer, Telling
from agentfsm.workflow import Workflow

_DELIVERIES = 4


class Runtime:
    """Runs tasks durably: every intent is stored before it acts, every result before the next intent.

    `model` may be several, the first one is asked first, or none where a workflow makes all its calls by itself.
    `earlier` are further generations of the same workflow: a task stays on the one it started with, and `rollout`
    says which one a new task starts with. `seed` fixes the
    jitter of back-offs. `observer` gets every transition, proposal, refusal, event, compensation and outcome as a
    plain dict, after it became durable: at least once, see `telling`. `approval_s` is how long an approval is waited
    for, `patience_s` the longest pause that `run` itself waits out (a worker leaves longer ones to the store).
    `price` tells the USD of a model's usage. The store stays the caller's to close.
    """

    def __init__(
        self,
        *,
        workflow: Workflow,
        model: Model | Sequence[Model] = (),
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
        limits, clock = limits or Limits(), clock or SystemClock()
        self._shared = Shared(
            store=store,
            clock=clock,
            limits=limits,
            retry=retry or Retry(attempts=limits.attempts, seed=seed),
            telling=Telling(observer),
            board=Switchboard(store),
            breakers=Breakers(store, clock, breaker),
            price=price,
            approval_s=approval_s,
            patience_s=patience_s,
            masker=Masker.of_environment(),
        )
        models = tuple(model) if isinstance(model, Sequence) else (model,)
        self._parts = assemble([Generation(workflow, dict(tools)), *earlier], models, self._shared)
        self._newest = self._parts[workflow.label]
        rolling_out = RollingOut(workflow, tuple(self._parts), rollout, self._shared.board)
        self._desk = Desk(self._parts, self._newest, self._shared, rolling_out)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name and version of every generation this runtime can drive."""
        return tuple(self._parts)

    @property
    def store(self) -> Store:
        """Where its tasks are."""
        return self._shared.store

    @property
    def clock(self) -> Clock:
        """What it reads the time from."""
        return self._shared.clock

    async def run(self, *, request_id: str, text: str, dry_run: bool = False, depth: int = 0) -> TaskResult:
        """Start the task, or resume it; a finished or waiting one returns its stored result and runs nothing.

        A `dry_run` answers every tool that has an effect with the example of its contract, and ends as `partial`.
        Raises InputChanged where the id belongs to another text, Conflict where another worker has the task.
        When cancelled, the task ends as `cancelled` and CancelledError goes on; where that end has effects to
        undo, the next resume undoes them.
        """
        return await self._desk.drive(await self._desk.task(request_id, text, "dry_run" if dry_run else "live", depth))

    async def submit(self, *, request_id: str, text: str, dry_run: bool = False) -> TaskResult:
        """Store the task for a worker to take up; one that is stored already is left as it is."""
        task = await self._desk.task(request_id, text, "dry_run" if dry_run else "live", 0)
        if task.version == 0:
            draft = Draft(task, (), self._shared.clock.time())
            draft.say("submit")
            draft.note("submitted", workflow=task.workflow)
            receipt = await commit(self._desk.parts_of(task), draft.commit(claims=False))
            task = task.but(version=receipt.version)
        return claim(self._desk.parts_of(task).workflow, task, await self._desk.steps(task))

    async def resume(self, request_id: str) -> TaskResult:
        """Resume a task by its id alone; raise UnknownTask where there is none.

        The lease of a worker that may still be alive is waited out on the clock; one that went on with the task
        in that time keeps it, and Conflict is raised.
        """
        task = await self._desk.known(request_id)
        left = 0.0 if request_id in self._desk.live else leases.left(task, self._shared.clock.time())
        if not left:
            return await self._desk.drive(task)
        await self._shared.clock.sleep(left)
        again = await self._desk.known(request_id)
        return await self._desk.drive(again, waited=again.version == task.version)

    async def drive_claimed(self, task: Task, owner: str, *, patience_s: float = float("inf")) -> TaskResult:
        """Go on with a task that `Store.claim` has given to `owner`; pauses above `patience_s` are left to the store.

        When cancelled, the task is left to its lease, for somebody else to take up.
        """
        return await self._desk.carry(task, owner, claimed=True, patience_s=patience_s)

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
                return await self._desk.deliver(request_id, event)
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
            "limits": self._shared.limits.describe(),
            "transitions": states.describe(),
            "stages": [{"name": stage.name, "tools": sorted(stage.tools)} for stage in workflow.stages],
            "own_sources": sorted(OWN_SOURCES),
            "waits": [
                *(stage.wait.describe(stage.name) for stage in workflow.stages if stage.wait),
                *asking.describe(workflow.contracts, self._shared.approval_s),
            ],
            "contracts": [{**c.describe(), "compensation": undone_by.get(c.name)} for c in workflow.contracts],
        }
