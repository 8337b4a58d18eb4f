"""An agent built on agentfsm, under test: its commits are sites, and it is started again after its death.

The only module that imports the runtime. What crosses the line are plain documents.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from agentfsm import Commit, OpenAIChat, Runtime, SQLiteStore
from agentfsm.errors import Conflict, StoreError, UnknownTask
from agentfsm.ports import Store
from agentfsm.store import open_store
from pytest_agent.adapters.arrivals import CONTROL, Arrival, Mailbox
from pytest_agent.adapters.far_store import FarStore
from pytest_agent.faults.effect import Condition, Delivered, Moment
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.sandbox import Sandbox
from pytest_agent.stores.disk import Disk
from pytest_agent.stores.faults import StoreFaults
from pytest_agent.stores.process import needs_watching
from pytest_agent.trace import AgentEvent, StoreCommitted

_LASTING_OF_TASK = (
    *("request_id", "text", "workflow", "mode", "depth", "fsm_state", "current_step", "business_state", "outcome"),
    *("cause", "answer", "ending", "asked", "cancel_requested"),
)
_LASTING_OF_STEP = (
    *("step_id", "kind", "status", "tool", "call_id", "effect_class", "input_data", "output_data", "error_code"),
    *("undoes", "stands_in_for", "tool_version", "model", "prompt"),
)

Build = Callable[[Store, Callable[[Mapping[str, object]], None]], Runtime]


_CODES: dict[Condition, str] = {"full": "disk_full", "read-only": "read_only", "locked": "locked"}


class ObservedStore:
    """A store that says before and after each commit that it is there, and where the process may die."""

    def __init__(
        self,
        store: Store,
        seams: Seams,
        committed: Callable[[], int],
        life: int,
        faults: StoreFaults | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._life = life
        self._store = store
        self._seams = seams
        self._next = committed
        self._faults = faults or StoreFaults(seams)
        self._disk = disk

    async def commit(self, change: Commit) -> Any:
        """Commit in between the two places at which the process can die."""
        n = self._next()
        before = Site("store", "commit", n, phase="before")
        await self._reach(before)
        await self._strike(before)
        if self._disk is not None:
            self._disk.about_to_write()
        receipt = await self._store.commit(change)
        site = Site("store", "commit", n, phase="after")
        if self._disk is not None:
            self._disk.flushed()  # SQLiteStore: every commit reaches the disk
            await self._reach(site, "written")
        finished = [step.key for step in change.finished if step.status == "success"]
        for place in (before, site):
            self._seams.trace.append(
                StoreCommitted(
                    site=str(place),
                    label=change.label,
                    finished=finished,
                    life=self._life,
                    stage=change.task.current_step,
                    workflow=change.task.workflow,
                    file=self._store.path.name if isinstance(self._store, SQLiteStore) else "",
                )
            )
        await self._reach(site)
        await self._strike(site)
        return receipt

    async def _reach(self, site: Site, when: Moment = "commit") -> None:
        struck = len(self._seams.applied)
        still_s = self._seams.reach(site, when)
        if len(self._seams.applied) != struck:
            await self._seams.hands.rest()
        if still_s:
            await asyncio.sleep(still_s)

    async def _strike(self, site: Site) -> None:
        """Let the faults of the store act. Raises the runtime's own error for a store that could not do its work."""
        for wait_s, failure in self._faults.at(site):
            if wait_s:
                await asyncio.sleep(wait_s)
            if failure is not None:
                code = _CODES[failure.condition] if failure.condition is not None else None
                raise StoreError(failure.reason, code=code, reason=failure.reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def shipped_agent(
    build: Callable[..., Runtime],
    sandbox: Sandbox,
    arrivals: Sequence[Arrival] = (),
    *,
    request_id: str = "task-1",
    dry_run: bool = False,
    database: str = "",
) -> AgentFsm:
    """An agent module's `build` with the scripted model, the sandbox's tools and a database in its folder.

    `database`: the URL of a PostgreSQL database in its place, one that `agentfsm migrate` has made ready.
    """
    model = OpenAIChat(shared_http(), model="scripted", api_key="scripted")
    return AgentFsm(
        lambda store, observer: build(store=store, model=model, tools=sandbox.tools, observer=observer),
        functools.partial(_open_far, database) if database else lambda: SQLiteStore(sandbox.folder / "tasks.db"),
        request_id=request_id,
        arrivals=arrivals,
        dry_run=dry_run,
    )


def _open_far(database: str) -> Any:
    return FarStore(open_store(database), database)


@functools.cache
def shared_http() -> httpx.AsyncClient:
    """One client for all runs of a process."""
    # Its TLS context takes longer to make than a whole run; nothing is ever sent through it.
    return httpx.AsyncClient()


class AgentFsm:
    """A runtime and the store it keeps its task in, so that both can be made anew as after a restart.

    `build(store, observer)` makes the runtime; `open_store()` opens the store, the same one every time. When the task
    waits or has ended, `arrivals` are delivered one after the other; one that was not acknowledged is sent again.
    Further tasks are started after `turn_to`.
    """

    def __init__(
        self,
        build: Build,
        open_store: Callable[[], Store],
        *,
        request_id: str = "task-1",
        arrivals: Sequence[Arrival] = (),
        dry_run: bool = False,
    ) -> None:
        self._dry_run = dry_run
        self._arrived: Counter[str] = Counter()
        self._mailbox = Mailbox(arrivals, self._arrived)
        self._build = build
        self._open_store = open_store
        self._request_id = request_id
        self._text = ""
        self._commits = 0
        self._lives = 0
        self._faults: StoreFaults | None = None
        self._disk: Disk | None = None
        self._description: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """Limits, transitions and contracts as the runtime gives them. Opens nothing: a store opens when first used."""
        if not self._description:
            self._description = dict(self._build(self._open_store(), lambda _: None).describe())
        return self._description

    def turn_to(self, request_id: str, arrivals: Sequence[Arrival] = ()) -> None:
        """Let the next start be that of another task over the same store, in a new process."""
        self._request_id, self._lives = request_id, 0
        self._mailbox = Mailbox(arrivals, self._arrived)

    def snapshot(self) -> dict[str, Any]:
        """What is outside the agent's process and yet about it, as JSON data: how far the outside has come."""
        return {
            "text": self._text,
            "commits": self._commits,
            "lives": self._lives,
            "mailbox": self._mailbox.snapshot(),
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from what `snapshot` gave."""
        self._text, self._commits, self._lives = data["text"], data["commits"], data["lives"]
        self._mailbox.restore(data["mailbox"])

    async def start(self, seams: Seams, text: str) -> Any:
        """Run the task in a new process."""
        self._text = text
        return await self._live(seams)

    async def resume(self, seams: Seams) -> Any:
        """Go on with the task in a new process; the same call that starts one."""
        return await self._live(seams)

    async def ask_to_cancel(self) -> bool:
        """As a user does who has the task's id and nothing else."""
        store = self._open_store()
        try:
            return await store.request_cancel(self._request_id)
        except UnknownTask:
            return False
        finally:
            await store.close()

    async def work_too(self, seams: Seams) -> None:
        """Resume the task with a runtime and a store of its own; it may belong to the first one, or be unknown yet."""
        store = self._open_store()
        try:
            with contextlib.suppress(Conflict, UnknownTask):
                await self._runtime(seams, store, self._lives + 1).resume(self._request_id)
        finally:
            await store.close()

    def _runtime(self, seams: Seams, store: Store, life: int) -> Runtime:
        observed: Any = ObservedStore(store, seams, self._count, life, self._faults, self._disk)
        return self._build(observed, lambda data: seams.trace.append(AgentEvent(data=dict(data))))

    async def stored(self) -> dict[str, Any]:
        """The task and its steps as the store has them, without what a death may change.

        That is times, leases, attempts, what was used, and the error before the last one.
        Of each step the last attempt. JSON data. Raises LookupError where there is no such task.
        """
        store = self._open_store()
        try:
            task, steps = await store.load(self._request_id), await store.steps(self._request_id)
        finally:
            await store.close()
        if task is None:
            raise LookupError(f"the store has no task {self._request_id!r}")
        last = {step.step_id: step for step in sorted(steps, key=lambda step: step.attempt)}
        document = {
            "task": {name: getattr(task, name) for name in _LASTING_OF_TASK},
            "steps": [{name: getattr(last[n], name) for name in _LASTING_OF_STEP} for n in sorted(last)],
        }
        return dict(json.loads(json.dumps(document, default=dict)))

    async def _live(self, seams: Seams) -> Any:
        self._lives += 1
        store = self._open_store()
        self._faults = self._faults or StoreFaults(seams)
        if self._disk is None and isinstance(store, SQLiteStore):
            self._disk = Disk(store.path.parent, f"{store.path.name}*", watched=needs_watching(seams.armed))
        before = seams.at_death
        if self._disk is not None:
            self._disk.come_back()  # the store opens its file when it is first used
            seams.at_death = self._disk.die
        try:
            runtime = self._runtime(seams, store, self._lives)
            result = await self._enter(runtime)
            if self._mailbox.is_empty:
                return result
            return await self._mailbox.deliver(seams, functools.partial(self._hand_over, runtime, store))
        finally:
            seams.at_death = before
            await store.close()

    async def _enter(self, runtime: Runtime) -> Any:
        if self._lives > 1:
            # Waits for the lease of the process before; its task may not have been stored at all.
            with contextlib.suppress(UnknownTask):
                return await runtime.resume(self._request_id)
        return await runtime.run(request_id=self._request_id, text=self._text, dry_run=self._dry_run)

    async def _hand_over(self, runtime: Runtime, store: Store, event: Delivered) -> Any:
        if event.source == CONTROL:
            await store.set_control(event.payload["key"], event.payload["value"], time.time())
            return await runtime.resume(self._request_id)
        return await runtime.deliver(
            request_id=self._request_id,
            source=event.source,
            event_id=event.event_id,
            kind=event.kind,
            payload=event.payload,
        )

    def _count(self) -> int:
        self._commits += 1
        return self._commits
