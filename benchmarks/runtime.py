"""Durable steps a second: agentfsm against a bare commit a step, LangGraph's SQLite saver and DBOS on SQLite.

Every database is on a tmpfs and every flush takes exactly 1 ms (`slow_flush.c`), so that the disk of the day does not
decide. Each arm is a process of its own; rounds are interleaved; medians of the ratios of each round are printed. With
`--postgres` agentfsm on PostgreSQL against bare asyncpg inserts: the server is started here, under the same flushes.

    python benchmarks/runtime.py [--rounds 5] [--peers PYTHON] [--postgres]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = {
    ("ours", "floor", 1): 0.6,
    ("ours", "floor", 50): 8.0,
    ("ours", "langgraph_arm", 1): 2.5,
    ("ours", "langgraph_arm", 50): 25.0,
    ("ours", "dbos_arm", 1): 5.0,
    ("ours", "dbos_arm", 50): 50.0,
    ("ours_postgres", "asyncpg_arm", 1): 0.6,
    ("ours_postgres", "asyncpg_arm", 50): 0.45,
}
STEPS = {"floor": (500, 500), "ours": (500, 10_000), "langgraph_arm": (150, 500), "dbos_arm": (100, 500)}
STEPS |= {"ours_postgres": (500, 5_000), "asyncpg_arm": (500, 5_000)}


def shim(folder: Path) -> dict[str, str]:
    """Compile the slow flush; return the environment that puts a process under it."""
    library = folder / "slow_flush.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(HERE / "slow_flush.c"), "-ldl"], check=True
    )
    return {**os.environ, "LD_PRELOAD": str(library), "SLOW_FLUSH_MS": "1"}


def tmpfs() -> Path:
    """Return a folder in memory, so that nothing but the shim decides what a flush takes."""
    return Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())


def measure(arm: str, python: str, at_once: int, where: str, environment: dict[str, str]) -> float:
    """Run one arm in a process of its own; return its steps a second."""
    steps = STEPS[arm][at_once > 1]
    script = "ours" if arm == "ours_postgres" else arm
    command = [python, str(HERE / "durable" / f"{script}.py"), where, str(steps), str(at_once)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"{arm} failed:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return float(result["steps"] / result["seconds"])


@contextlib.contextmanager
def fresh(arm: str, postgres: str) -> Iterator[str]:
    """Give an arm a new database."""
    if arm in {"ours_postgres", "asyncpg_arm"}:
        from durable.server import new_database

        yield new_database(postgres)
        return
    with tempfile.TemporaryDirectory(dir=tmpfs()) as folder:
        path = Path(folder) / "steps.db"
        yield f"sqlite:///{path}" if arm == "ours" else str(path)


def main() -> int:
    """Print the figures. Exits 1 where a target is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--peers", help="the Python that has langgraph and dbos; without it they are left out")
    arguments.add_argument("--postgres", action="store_true")
    chosen = arguments.parse_args()
    arms = {"floor": sys.executable, "ours": sys.executable}
    if chosen.peers:
        arms |= {"langgraph_arm": chosen.peers, "dbos_arm": chosen.peers}
    missed = False
    with contextlib.ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(dir=tmpfs())))
        environment = shim(folder)
        postgres = ""
        if chosen.postgres:
            from durable.server import server

            postgres = undo.enter_context(server(folder, environment))
            arms |= {"ours_postgres": sys.executable, "asyncpg_arm": sys.executable}
        for at_once in (1, 50):
            rates: dict[str, list[float]] = {arm: [] for arm in arms}
            for _ in range(chosen.rounds):
                for arm, python in arms.items():
                    with fresh(arm, postgres) as where:
                        rates[arm].append(measure(arm, python, at_once, where, environment))
            for arm, found in rates.items():
                low, high = min(found), max(found)
                print(
                    f"{at_once:>2} at once  {arm:<14} {statistics.median(found):10.0f} steps/s  ({low:.0f}-{high:.0f})"
                )
            for (arm, peer, when), target in TARGETS.items():
                if when != at_once or arm not in rates or peer not in rates:
                    continue
                ratio = statistics.median(a / b for a, b in zip(rates[arm], rates[peer], strict=True))
                missed = missed or ratio < target
                print(f"{at_once:>2} at once  {arm} / {peer}: {ratio:.2f}   (target: at least {target})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
