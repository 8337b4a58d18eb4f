"""A worker with many tasks that kills itself before, in the middle of or after a statement that writes many commits.

    python many.py STORE FOLDER KILL_AT

In SQLite the middle is between two commits of the statement; in PostgreSQL it is once the statement is on its way to
the server, which goes on without the worker. See `child.py` for the rest.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from child import World, runtime

from agentfsm.errors import Conflict
from agentfsm.store import open_store, postgres_fused, postgres_pool, sqlite_fused
from agentfsm.worker import Worker

NAMES = [f"r{n}" for n in range(8)]


class Statements(World):
    """Counts what happens around those statements, and nothing else."""

    def boundary(self, name: str) -> None:
        if "many" in name:
            super().boundary(name)


def die_in_the_statement(world: World) -> None:
    """Make boundaries of those statements, in both stores."""
    prepare, write_all, run = sqlite_fused.prepare, sqlite_fused.write_all, postgres_pool.Database.run

    def prepared(db: Any) -> None:
        db.create_function("boundary", 0, lambda: world.boundary("in many"))
        prepare(db)

    def written(*given: Any) -> Any:
        world.boundary("before many")
        receipts = write_all(*given)
        world.boundary("after many" if receipts else "many were refused")
        return receipts

    async def ran(self: Any, query: str, *values: Any) -> Any:
        if query is not postgres_fused.STATEMENT:
            return await run(self, query, *values)
        world.boundary("before many")
        job = asyncio.ensure_future(run(self, query, *values))
        for _ in range(5):  # it is written to the socket meanwhile
            await asyncio.sleep(0)
        world.boundary("in many")
        found = await job
        world.boundary("after many")
        return found

    sqlite_fused._TRIGGER = sqlite_fused._TRIGGER.removesuffix("END") + "SELECT boundary();\nEND"
    sqlite_fused.prepare, sqlite_fused.write_all, postgres_pool.Database.run = prepared, written, ran


async def main(url: str, folder: Path, kill_at: int) -> None:
    """Submit all at once, work, deliver the signatures, work on, and write down how each ended."""
    world = Statements(folder, kill_at)
    die_in_the_statement(world)
    store = open_store(url)
    agent = runtime(store, world, beside=1)

    async def submit(name: str) -> None:
        with contextlib.suppress(Conflict):
            await agent.submit(request_id=name, text="go")

    async def sign(name: str) -> bool:
        """Return whether it is over."""
        task = await store.load(name)
        if task.cause == "waiting_signature":
            with contextlib.suppress(Conflict):
                await agent.deliver(request_id=name, source="signing", event_id=name, kind="signed", payload={})
        return task.outcome is not None and task.next_run_at is None

    await asyncio.gather(*map(submit, NAMES))
    worker = Worker(agent, concurrency=len(NAMES), poll_s=0.05, lease_s=1.0)
    for _ in range(200):
        await worker.until_idle()
        if all(await asyncio.gather(*map(sign, NAMES))):
            break
        await world.clock.sleep(0.05)
    ended = {}
    for name in NAMES:
        task, audit, steps = await store.load(name), await store.audit(name), await store.steps(name)
        versions = sorted({row["version"] for row in audit})
        ended[name] = [task.outcome, task.version, versions, sorted({step.status for step in steps})]
    await store.close()
    (folder / "ended").write_text(json.dumps(ended))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
