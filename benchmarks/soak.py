"""Minutes of load: tasks on PostgreSQL whose workers are killed at random, and memory over many tasks on SQLite.

    python benchmarks/soak.py [--tasks 10000] [--workers 4] [--seed 1] [--memory-tasks 100000]

Held where every task has come to its end, the world has exactly one effect per step, and memory stays flat.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "durable"))


def tmpfs() -> Path | None:
    """Return a folder in memory, where there is one."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


async def killed_workers(url: str, tasks: int, workers: int, seed: int) -> bool:
    """Submit the tasks, kill a worker every second or so, and look at the ledger in the end."""
    import asyncpg
    from soak_worker import WORLD, runtime

    from agentfsm.store import open_store

    store = open_store(url)
    pool = await asyncpg.create_pool(url, min_size=2, max_size=10)
    await pool.execute(WORLD)
    agent = runtime(store, pool)
    began = time.monotonic()
    for first in range(0, tasks, 100):
        names = range(first, min(first + 100, tasks))
        await asyncio.gather(*(agent.submit(request_id=f"task-{number}", text="go") for number in names))
    await pool.execute("CREATE INDEX IF NOT EXISTS world_by_key ON world (tool, key)")
    print(f"{tasks} tasks submitted in {time.monotonic() - began:.0f} s")
    chance, killed = random.Random(seed), 0  # noqa: S311 - which worker dies has to be repeatable, not secret

    def start(number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(HERE / "soak_worker.py"), url, str(number)])

    alive = [start(number) for number in range(workers)]
    began = time.monotonic()
    try:
        while left := await pool.fetchval("SELECT count(*) FROM task WHERE fsm_state NOT IN ('DONE', 'FAILED')"):
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            victim = chance.randrange(workers)
            if left > tasks // 50:  # the last ones are let finish
                alive[victim].send_signal(signal.SIGKILL)
                alive[victim].wait()
                killed += 1
                alive[victim] = start(workers + killed)
            if time.monotonic() - began > 1800:
                print(f"{left} tasks are still open after half an hour")
                return False
    finally:
        for worker in alive:
            worker.send_signal(signal.SIGTERM)
        codes = [worker.wait(timeout=60) for worker in alive]
    seconds = time.monotonic() - began
    outcomes = dict(await pool.fetch("SELECT outcome, count(*) FROM task GROUP BY outcome"))
    effects = dict(await pool.fetch("SELECT tool, count(*) FROM world GROUP BY tool"))
    twice = await pool.fetchval("SELECT count(*) FROM (SELECT 1 FROM world GROUP BY tool, key HAVING count(*) > 1) x")
    await pool.close()
    await store.close()
    print(f"{killed} workers killed, {tasks / seconds:.0f} tasks/s")
    print(f"outcomes {outcomes}, effects {effects}, effects that happened twice: {twice}")
    return outcomes == {"success": tasks} and effects == {"pay": tasks, "mail": tasks} and twice == 0 and not any(codes)


async def memory(tasks: int) -> bool:
    """Run many tasks in one process; the second half may not add more than a tenth to the first."""
    from ours import NOOP, WORKFLOW, noop

    from agentfsm import CallableTool, Runtime
    from agentfsm.store import open_store

    with tempfile.TemporaryDirectory(dir=tmpfs()) as folder:
        store = open_store(f"sqlite:///{folder}/tasks.db")
        agent = Runtime(workflow=WORKFLOW, model=[], tools={"noop": CallableTool(NOOP, noop)}, store=store)
        sizes = []
        for first in range(0, tasks, 100):
            await asyncio.gather(*(agent.run(request_id=f"t{first + n}", text="go") for n in range(100)))
            if first % (tasks // 10) < 100:
                sizes.append(rss_mb())
        await store.close()
    print("memory over", tasks, "tasks, MB:", " ".join(f"{size:.0f}" for size in sizes))
    return sizes[-1] <= sizes[len(sizes) // 2] * 1.1


def rss_mb() -> float:
    """Return the resident memory of this process now."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Print what happened. Exits 1 where something did not hold."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tasks", type=int, default=10_000)
    arguments.add_argument("--workers", type=int, default=4)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--memory-tasks", type=int, default=100_000)
    chosen = arguments.parse_args()
    from server import new_database, server

    with tempfile.TemporaryDirectory() as folder, server(Path(folder), dict(os.environ)) as postgres:
        url = new_database(postgres)
        held = asyncio.run(killed_workers(url, chosen.tasks, chosen.workers, chosen.seed))
    flat = asyncio.run(memory(chosen.memory_tasks)) if chosen.memory_tasks else True
    return 0 if held and flat else 1


if __name__ == "__main__":
    sys.exit(main())
