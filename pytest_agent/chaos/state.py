"""What the plugin knows of one test while it runs, kept on the item between pytest's phases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_agent.chaos.search.bounds import Shard
from pytest_agent.clock import keep, let_go
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.seams import Armed
from pytest_agent.run import Run
from pytest_agent.trace import TraceFile

if TYPE_CHECKING:
    from pytest_agent.chaos.verdict import Verdict

_KEY = pytest.StashKey["TestState"]()


@dataclass(frozen=True, slots=True)
class Part:
    """An item that does one part of a test's search."""

    test: str
    shard: Shard


PART = pytest.StashKey[Part]()


@dataclass(slots=True)
class TestState:
    """One test: where it writes, the schedule of the coming run, and how the last one ended.

    Of the last run: `set_up` says of a probe that its fixtures could be made, `ended` that the test's own function was
    run to its end, `error` is what it raised, `skipped`
    says that it was a skip or an expected failure, `broken` that it broke as the search had found. Of the test:
    `explored_s` are the real seconds spent in probes, `told` what is said about the schedule of the run for the record,
    `expected` the reason why a failure is expected.
    """

    __test__ = False

    nodeid: str
    seed: int
    trace_path: Path
    ledger: Path
    schedule: Schedule = field(default_factory=Schedule)
    armed: tuple[Armed, ...] = ()
    probing: bool = False
    run: Run | None = None
    set_up: bool = False
    ended: bool = False
    error: BaseException | None = None
    skipped: bool = False
    broken: bool = False
    fixture_errors: list[str] = field(default_factory=list)
    judge: Callable[[TestState], Verdict] | None = None
    conclusion: Callable[[Verdict, BaseException | None], BaseException | None] | None = None
    clean_conclusion: Callable[[], BaseException | None] | None = None
    explored_s: float = 0.0
    told: str = ""
    expected: str | None = None
    _trace_file: TraceFile | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def begin(self, schedule: Schedule, armed: tuple[Armed, ...], *, probing: bool) -> None:
        """Forget the last run; the next one is under this schedule."""
        self.schedule, self.armed, self.probing = schedule, armed, probing
        self.judge, self.conclusion, self.clean_conclusion = None, None, None
        self.run, self.fixture_errors = None, []

    def new_run(self) -> Run:
        """The world of the coming run."""
        self.ended, self.error, self.skipped, self.broken = False, None, False, False
        if self._trace_file is None:
            self._trace_file = self._open.enter_context(TraceFile(self.trace_path))
            # Between the phases and the runs of one test the clock is off, and not away.
            keep()
            self._open.callback(let_go)
        self.run = Run(
            self.nodeid,
            schedule=self.schedule,
            armed=self.armed,
            seed=self.seed,
            trace_file=self._trace_file,
            ledger=self.ledger,
        )
        return self.run

    def run_over(self) -> None:
        """Everything of the run is undone: nothing of it may stay open, however it ended."""
        if self.run is not None and not self.ended:
            # The test's own function never came to its end, and with it the sandbox.
            self.run.sandbox.finish()
        if not self.probing:
            self.close()

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have this done when the test is over."""
        self._open.callback(callback)

    def close(self) -> None:
        """The test is over; its trace file is complete, and the process is as it was."""
        self._open.close()
        self._trace_file = None


def state_of(item: pytest.Item) -> TestState:
    """The state of a test, made on first use. Its files are named after the test."""
    from pytest_agent.folder import folder_of

    state = item.stash.get(_KEY, None)
    if state is None:
        folder = folder_of(item.config)
        # The parts of one test write files of their own.
        files = test_id(item) if part_of(item) is None else item.nodeid
        state = TestState(
            nodeid=test_id(item),
            seed=int(item.config.getoption("chaos_seed")),
            trace_path=folder.trace_path(files),
            ledger=folder.ledger_path(files),
        )
        item.stash[_KEY] = state
    return state


def part_of(item: pytest.Item) -> Part | None:
    """The part of the search that this item does, None for one that does the whole."""
    return item.stash.get(PART, None)


def test_id(item: pytest.Item) -> str:
    """The test's id as everybody else knows it: without the group that xdist appends, and without its part."""
    part = part_of(item)
    group = group_of(item)
    return part.test if part is not None else item.nodeid.removesuffix(f"@{group}") if group else item.nodeid


def group_of(item: pytest.Item) -> str:
    """What `--dist=loadgroup` appends to a test's id, after an @; empty where it belongs to no group."""
    groups = {str((*mark.args, mark.kwargs.get("name", "default"))[0]) for mark in item.iter_markers("xdist_group")}
    return "_".join(sorted(groups))


def known_state(item: pytest.Item) -> TestState | None:
    """The state if the test has one."""
    return item.stash.get(_KEY, None)
