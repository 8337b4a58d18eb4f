"""Real death at length: `business_account` on SQLite and on PostgreSQL, killed at every boundary, and killed again.

    python benchmarks/deaths_soak.py [--kills 600] [--stores sqlite postgres] [--scenario business_account]

First one SIGKILL at each boundary that the uninterrupted run passes; then a second one at the boundaries of the life
that recovers, spread evenly until there were so many kills in all. Held where every ending has the ledger and the final
state of the uninterrupted run, no invariant is violated, and no process is left. Exits 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_agent.chaos.death import Deaths, Ending
from pytest_agent.invariants import Evidence, check_all

HERE = Path(__file__).parent
SCENARIOS = HERE.parent / "scenarios"
SAID = ("outcome", "cause", "answer", "stored")
sys.path.insert(0, str(HERE / "durable"))


def wrong(ending: Ending, whole: Ending) -> list[str]:
    """What of an ending differs from the uninterrupted run."""
    found = [f"{name} differs" for name in SAID if ending.final[name] != whole.final[name]]
    if ending.effects != whole.effects:
        found.append(f"the ledger has {ending.effects}")
    if len(ending.died_at) != len(ending.kills):
        found.append(f"it died only {len(ending.died_at)} times")
    found += [f"{violation.id} {violation.detail}" for violation in check_all(Evidence(ending.events, whole.events))[0]]
    return found


def pairs(first: list[Ending], kills: int) -> list[tuple[int, int]]:
    """Two kills each: a boundary of the first life and one of the life after it, evenly among all there are."""
    every = [(ending.kills[0], again) for ending in first for again in range(1, ending.final["passed"] + 1)]
    wanted = min(len(every), max(0, -(-kills // 2)))
    return [every[index * len(every) // wanted] for index in range(wanted)]


def soak(store: str, scenario: Path, kills: int, database: Callable[[], str] | None, folder: Path) -> bool:
    """One store: every boundary, then pairs until so many kills."""
    began, bad = time.monotonic(), 0
    places: set[str] = set()
    with Deaths(scenario, folder, database=database) as deaths:
        whole, *first = deaths.sweep()
        seconds = [deaths.run(*pair) for pair in pairs(first, kills - len(first))]
        for ending in (*first, *seconds):
            places |= set(ending.died_at)
            for detail in wrong(ending, whole):
                bad += 1
                print(f"  {store}: killed at {ending.kills} ({', '.join(ending.died_at)}): {detail}")
    left = deaths.left()
    died = sum(len(ending.died_at) for ending in (*first, *seconds))
    print(
        f"{store}: {died} kills in {time.monotonic() - began:.0f} s: one at each of {len(first)} boundaries, "
        f"two in each of {len(seconds)} runs, at {len(places)} different places; "
        f"{len(whole.effects)} effects in every ledger; {bad} differences; processes left: {left or 'none'}"
    )
    return not bad and not left and died >= kills and len(whole.effects) > 0


@contextmanager
def databases(store: str) -> Iterator[Callable[[], str] | None]:
    """What gives a fresh database for each run; nothing where the store is a file."""
    if store == "sqlite":
        yield None
        return
    from server import copy_of, new_database, server

    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        server(Path(folder), dict(os.environ)) as postgres,
    ):
        ready = new_database(postgres)
        yield lambda: copy_of(postgres, ready)


def main() -> int:
    """Print what happened."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=600, help="in all, on the stores together")
    arguments.add_argument("--stores", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    arguments.add_argument("--scenario", default="business_account")
    chosen = arguments.parse_args()
    scenario = SCENARIOS / f"{chosen.scenario}.yaml"
    each = -(-chosen.kills // len(chosen.stores))
    held = []
    for store in chosen.stores:
        memory = Path("/dev/shm")
        with (
            tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
            databases(store) as database,
        ):
            held.append(soak(store, scenario, each, database, Path(folder)))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
