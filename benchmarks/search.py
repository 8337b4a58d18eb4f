"""What the search costs on the shipped agent: schedules per second, and against bare re-runs of the same schedules.

The scenario is `support_refund`: agentfsm, its store a file on a tmpfs, one HTTP client for all runs. Both arms enter
its item through `runtestprotocol` under the same schedules, with the world in place: clock, model, guard, tools. The
search does so by itself; the bare arm is given the list and judges, orders and writes nothing. Rounds are interleaved
in one process; times are of the processor, so that neighbours on the machine do not count.

    python benchmarks/search.py [--rounds 5] [--scenario support_refund] [--profile] [--spread]

`--profile` prints where one round of the search spends its time instead. `--spread` adds the wall time of the search
with two workers of xdist against one; it takes two idle cores.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from pytest_agent.chaos.mark import usable_mark
from pytest_agent.chaos.protocol import run_protocol
from pytest_agent.chaos.state import TestState, state_of
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.seams import Armed
from pytest_agent.trace import Event, TraceFile

SCENARIOS = Path(__file__).parents[1] / "scenarios"
OPTIONS = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio")
LEAST_PER_S, MOST_RATIO, LEAST_SPREAD = 100, 1.25, 1.5


class NoFile(TraceFile):
    """Keeps nothing."""

    def write(self, event: Event) -> None:
        """The event is in the trace's memory all the same."""


class Bench:
    """Takes the item over from pytest and times both arms in turn."""

    def __init__(self, rounds: int, *, profile: bool) -> None:
        self._rounds = rounds
        self._profiled = profile
        self.profile = cProfile.Profile()
        self.schedules: list[tuple[Schedule, tuple[Armed, ...]]] = []
        self.took: dict[str, list[float]] = {"search": [], "bare": []}

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Measure on the one item there is."""
        del nextitem
        item.config.option.chaos = True  # only now: the plugin would have taken the item itself
        self._noted(lambda: self._search(item))
        if self._profiled:
            self.profile.runcall(self._search, item)
            return True
        for _ in range(self._rounds):
            for name, arm in (("search", self._search), ("bare", self._bare)):
                began = time.process_time()
                arm(item)
                self.took[name].append(time.process_time() - began)
        return True

    def _noted(self, search: Callable[[], None]) -> None:
        """One search, whose schedules are what the bare arm runs."""
        begin = TestState.begin

        def noted(state: TestState, schedule: Schedule, armed: tuple[Armed, ...], *, probing: bool) -> None:
            self.schedules.append((schedule, armed))
            begin(state, schedule, armed, probing=probing)

        TestState.begin = noted  # type: ignore[method-assign]
        try:
            search()
        finally:
            TestState.begin = begin  # type: ignore[method-assign]

    def _search(self, item: pytest.Item) -> None:
        run_protocol(item, item.parent, usable_mark(item))  # type: ignore[arg-type]

    def _bare(self, item: pytest.Item) -> None:
        state = state_of(item)
        with NoFile(state.trace_path) as nowhere:
            state._trace_file = nowhere
            for schedule, armed in self.schedules:
                state.begin(schedule, armed, probing=True)
                runtestprotocol(item, log=False, nextitem=item.parent)  # type: ignore[arg-type]
        state.close()


@contextmanager
def project(scenario: str) -> Iterator[Path]:
    """A project with nothing but this scenario."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenarios").mkdir()
        shutil.copy(SCENARIOS / f"{scenario}.yaml", folder / "scenarios")
        (folder / "pytest.ini").write_text("[pytest]\nagent_scenarios = scenarios\n")
        yield folder


def measure(scenario: str, rounds: int, *, profile: bool) -> bool:
    """Both arms on one scenario."""
    bench = Bench(rounds, profile=profile)
    with project(scenario) as folder:
        # This module has imported the plugin before pytest could rewrite its assertions.
        quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        pytest.main(["-q", *OPTIONS, *quiet, "--rootdir", str(folder), str(folder)], plugins=[bench])
    if profile:
        pstats.Stats(bench.profile).sort_stats("tottime").print_stats(45)
        return True
    runs = len(bench.schedules)
    per_s = runs / statistics.median(bench.took["search"])
    ratio = statistics.median(s / b for s, b in zip(bench.took["search"], bench.took["bare"], strict=True))
    for name, seconds in bench.took.items():
        print(f"{name:<7} {runs} runs, {statistics.median(seconds) / runs * 1e3:6.2f} ms of the processor each")
    print(f"schedules per second and core: {per_s:.0f}   (target: at least {LEAST_PER_S})")
    print(f"search / bare re-runs: {ratio:.2f}   (target: at most {MOST_RATIO})")
    return per_s >= LEAST_PER_S and ratio <= MOST_RATIO


def spread(scenario: str, rounds: int) -> bool:
    """One heavy test with two workers against one; what both take to begin and to collect is taken off."""
    found: dict[int, list[float]] = {1: [], 2: []}
    with project(scenario) as folder:
        for _ in range(rounds):
            for workers, seconds in found.items():
                command = [sys.executable, "-m", "pytest", "-q", *OPTIONS, "-n", str(workers)]
                seconds.append(_wall_s([*command, "--chaos"], folder) - _wall_s(command, folder))
    one, two = (statistics.median(seconds) for seconds in found.values())
    print(f"the search with -n 2 against -n 1: {one / two:.2f} times as fast   (target: at least {LEAST_SPREAD})")
    return one / two >= LEAST_SPREAD


def _wall_s(command: list[str], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    """Print the figures. Exits 1 where a target is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--scenario", default="support_refund")
    arguments.add_argument("--profile", action="store_true")
    arguments.add_argument("--spread", action="store_true")
    chosen = arguments.parse_args()
    held = measure(chosen.scenario, chosen.rounds, profile=chosen.profile)
    if chosen.spread:
        held = spread(chosen.scenario, chosen.rounds) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
