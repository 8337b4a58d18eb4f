"""A worker in a process of its own that kills itself at one boundary, for real: SIGKILL, no `finally` runs.

    python child.py STORE FOLDER KILL_AT

It counts every boundary it passes and says so in FOLDER/passed: around each commit, claim and event, in the middle of a
batch before its COMMIT, before an effect and between an effect and its answer. At number KILL_AT (0: never) it dies.
The world is FOLDER/world, one line an effect; tools dedupe or answer queries out of it, as a service elsewhere would.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agentfsm import CallableTool, Effect, Limits, Runtime, Stage, ToolContract, Workflow
from agentfsm.errors import Conflict
from agentfsm.store import open_store
from agentfsm.waits import Wait
from agentfsm.worker import Worker

REQUEST = "r1"


class Nothing(BaseModel):
    pass


class Done(BaseModel):
    n: int


class Clock:
    """Waiting moves it on and takes no time. A life after a death begins when the leases of the one before are over."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.now += delay_s
        await asyncio.sleep(0)  # let others go on


class World:
    """Everything outside the agent's process."""

    def __init__(self, folder: Path, kill_at: int) -> None:
        self.folder = folder
        self.kill_at = kill_at
        self.passed: list[str] = []
        self.clock = Clock(1_010.0 if (folder / "passed").exists() else 1_000.0)

    def boundary(self, name: str) -> None:
        self.passed.append(name)
        with (self.folder / "passed").open("a") as file:
            file.write(f"{name}\n")
        if len(self.passed) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def effects(self, tool: str, key: str) -> int:
        path = self.folder / "world"
        lines = path.read_text().splitlines() if path.exists() else []
        return lines.count(f"{tool} {key}")

    def commit(self, tool: str, key: str) -> None:
        with (self.folder / "world").open("a") as file:
            file.write(f"{tool} {key}\n")


class WatchedStore:
    """Tells the world before and after everything that writes."""

    def __init__(self, store: Any, world: World) -> None:
        self._store = store
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: Any) -> Any:
        return await self._around("commit", self._store.commit(change))

    async def claim(self, *given: Any) -> Any:
        return await self._around("claim", self._store.claim(*given))

    async def _around(self, name: str, work: Any) -> Any:
        self._world.boundary(f"before {name}")
        result = await work
        self._world.boundary(f"after {name}")
        return result


def tool(world: World, name: str, effect: Effect) -> CallableTool:
    """A tool of one class; `idempotent` dedupes by key, `queryable` and `unsafe` do not."""
    contract = ToolContract(
        name=name,
        version=1,
        input=Nothing,
        output=Done,
        effect=effect,
        effects=() if effect is Effect.PURE else (name,),
    )

    async def call(idempotency_key: str = "") -> dict[str, Any]:
        world.boundary(f"before effect {name}")
        if effect is not Effect.PURE and not (effect is Effect.IDEMPOTENT and world.effects(name, idempotency_key)):
            world.commit(name, idempotency_key)
        world.boundary(f"after effect {name}")
        return {"n": 1}

    async def query(idempotency_key: str) -> dict[str, Any] | None:
        return {"n": 1} if world.effects(name, idempotency_key) else None

    return CallableTool(contract, call, query if effect is Effect.QUERYABLE else None)


def runtime(store: Any, world: World, beside: int = 3) -> Runtime:
    """look, send and ask, `beside` of them at once, then a signature is waited for, then pay."""
    tools = {
        name: tool(world, name, effect)
        for name, effect in (
            ("look", Effect.PURE),
            ("send", Effect.IDEMPOTENT),
            ("ask", Effect.QUERYABLE),
            ("pay", Effect.UNSAFE),
        )
    }
    signed = Wait(
        cause="waiting_signature",
        source="signing",
        kinds=frozenset({"signed"}),
        payload=Nothing,
        timeout_s=60.0,
        timeout_cause="late",
        tell=lambda _kind, _payload: "signed",
        fold=lambda business, _kind, _payload: {**business, "signed": 1},
        begins_when=lambda business: "signed" not in business,
    )
    first = ("look", "send", "ask")
    workflow = Workflow(
        name="crash",
        version=1,
        instructions="",
        goal="all is done",
        contracts=tuple(one.contract for one in tools.values()),
        stages=(
            Stage(
                "FIRST",
                frozenset(first),
                lambda business: all(name in business for name in first),
                calls=lambda business: [(name, {}) for name in first if name not in business][:beside],
            ),
            Stage("SIGN", frozenset(), lambda business: "signed" in business, wait=signed),
            Stage("PAY", frozenset({"pay"}), lambda business: "pay" in business, calls=lambda _business: [("pay", {})]),
        ),
        begin=lambda _text: {},
        fold=lambda business, name, _arguments, _output: {**business, name: 1},
        done_when=lambda business: "pay" in business,
        answers=lambda _business: "done",
    )
    limits = Limits(step_s=1.0, lease_s=1.0)
    return Runtime(
        workflow=workflow, model=[], tools=tools, store=store, clock=world.clock, limits=limits, patience_s=0.5
    )


def die_in_the_batch(world: World) -> None:
    """Make the middle of a transaction a boundary: after its writes, before its COMMIT."""
    from agentfsm.store import writes

    real = writes.write

    def watched(db: Any, change: Any, schema: Any) -> Any:
        result = real(db, change, schema)
        world.boundary("in the batch")
        return result

    writes.write = watched


async def main(url: str, folder: Path, kill_at: int) -> None:
    """Submit, work, deliver the signature, work on, and write down how it ended."""
    world = World(folder, kill_at)
    die_in_the_batch(world)
    inner = open_store(url)
    store: Any = WatchedStore(inner, world)
    agent = runtime(store, world)
    with contextlib.suppress(Conflict):
        await agent.submit(request_id=REQUEST, text="go")
    worker = Worker(agent, poll_s=0.05, lease_s=1.0)
    for _ in range(200):
        await worker.until_idle()
        task = await inner.load(REQUEST)
        if task.cause == "waiting_signature":
            world.boundary("before event")
            with contextlib.suppress(Conflict):
                await agent.deliver(request_id=REQUEST, source="signing", event_id="e1", kind="signed", payload={})
            world.boundary("after event")
        elif (task.outcome is not None and task.next_run_at is None) or task.outcome == "unknown":
            break
        else:
            await world.clock.sleep(0.05)
    steps = await inner.steps(REQUEST)
    audit = await inner.audit(REQUEST)
    ended = {
        "outcome": task.outcome,
        "cause": task.cause,
        "state": task.fsm_state.value,
        "business": task.business_state,
        "versions": sorted({row["version"] for row in audit}),
        "version": task.version,
        "steps": [[s.step_id, s.attempt, s.tool or s.kind, s.status] for s in steps],
    }
    await inner.close()
    (folder / "ended").write_text(json.dumps(ended))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
