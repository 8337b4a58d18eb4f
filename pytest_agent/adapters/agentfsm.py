"""An agent built on agentfsm, under test: its commits are sites, and it is started again after its death.

The only module that imports the runtime. What crosses the line are plain documents.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from agentfsm import Commit, OpenAIChat, Runtime, SQLiteStore
from agentfsm.ports import Store
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.sandbox import Sandbox
from pytest_agent.trace import AgentEvent, StoreCommitted

Build = Callable[[Store, Callable[[Mapping[str, object]], None]], Runtime]


class ObservedStore:
    """A store that says before and after each commit that it is there, and where the process may die."""

    def __init__(self, store: Store, seams: Seams, committed: Callable[[], int]) -> None:
        self._store = store
        self._seams = seams
        self._next = committed

    async def commit(self, change: Commit) -> int:
        """Commit in between the two places at which the process can die."""
        n = self._next()
        self._seams.reach(Site("store", "commit", n, phase="before"))
        version = await self._store.commit(change)
        site = Site("store", "commit", n, phase="after")
        self._seams.trace.append(
            StoreCommitted(site=str(Site("store", "commit", n, phase="before")), label=change.label)
        )
        self._seams.trace.append(StoreCommitted(site=str(site), label=change.label))
        self._seams.reach(site)
        return version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def shipped_agent(build: Callable[..., Runtime], sandbox: Sandbox) -> AgentFsm:
    """An agent module's `build` with the scripted model, the sandbox's tools and a database in its folder."""
    model = OpenAIChat(_http(), model="scripted", api_key="scripted")
    return AgentFsm(
        lambda store, observer: build(store=store, model=model, tools=sandbox.tools, observer=observer),
        lambda: SQLiteStore(sandbox.folder / "tasks.db"),
    )


@functools.cache
def _http() -> httpx.AsyncClient:
    # Its TLS context takes longer to make than a whole run; nothing is ever sent through it.
    return httpx.AsyncClient()


class AgentFsm:
    """A runtime and the store it keeps its task in, so that both can be made anew as after a restart.

    `build(store, observer)` makes the runtime; `open_store()` opens the store, the same one every time.
    """

    def __init__(self, build: Build, open_store: Callable[[], Store], *, request_id: str = "task-1") -> None:
        self._build = build
        self._open_store = open_store
        self._request_id = request_id
        self._text = ""
        self._commits = 0
        self._description: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """Limits, transitions and contracts as the runtime gives them, once it has been built."""
        return self._description

    async def start(self, seams: Seams, text: str) -> Any:
        """Run the task in a new process."""
        self._text = text
        return await self._live(seams)

    async def resume(self, seams: Seams) -> Any:
        """Go on with the task in a new process; the same call that starts one."""
        return await self._live(seams)

    async def _live(self, seams: Seams) -> Any:
        store = self._open_store()
        try:
            observed: Any = ObservedStore(store, seams, self._count)
            runtime = self._build(observed, lambda data: seams.trace.append(AgentEvent(data=dict(data))))
            self._description = dict(runtime.describe())
            return await runtime.run(request_id=self._request_id, text=self._text)
        finally:
            await store.close()

    def _count(self) -> int:
        self._commits += 1
        return self._commits
