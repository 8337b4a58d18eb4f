"""What the plugin knows of one test while it runs, kept on the item between pytest's phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.seams import Armed
from pytest_agent.run import Run
from pytest_agent.trace import TraceFile

if TYPE_CHECKING:
    from pytest_agent.chaos.verdict import Verdict

_KEY = pytest.StashKey["TestState"]()


@dataclass(slots=True)
class TestState:
    """One test: where it writes, the schedule of the coming run, and how the last one ended."""

    __test__ = False

    nodeid: str
    seed: int
    trace_file: TraceFile
    ledger: Path
    schedule: Schedule = field(default_factory=Schedule)
    armed: tuple[Armed, ...] = ()
    probing: bool = False
    run: Run | None = None
    error: BaseException | None = None
    fixture_errors: list[str] = field(default_factory=list)
    judge: Callable[[TestState], Verdict] | None = None
    verdict: Verdict | None = None
    conclusion: Callable[[Verdict, BaseException | None], BaseException | None] | None = None
    clean_conclusion: Callable[[], BaseException | None] | None = None

    def begin(self, schedule: Schedule, armed: tuple[Armed, ...], *, probing: bool) -> None:
        """Forget the last run; the next one is under this schedule."""
        self.schedule, self.armed, self.probing = schedule, armed, probing
        self.run, self.error, self.judge, self.verdict = None, None, None, None
        self.conclusion, self.clean_conclusion = None, None
        self.fixture_errors = []

    def close(self) -> None:
        """The test is over; its trace file is complete."""
        self.trace_file.close()

    def new_run(self) -> Run:
        """The world of the coming run."""
        self.run = Run(
            self.nodeid,
            schedule=self.schedule,
            armed=self.armed,
            seed=self.seed,
            trace_file=self.trace_file,
            ledger=self.ledger,
        )
        return self.run


def state_of(item: pytest.Item) -> TestState:
    """The state of a test, made on first use. Its files are named after the test."""
    from pytest_agent.folder import folder_of

    state = item.stash.get(_KEY, None)
    if state is None:
        folder = folder_of(item.config)
        state = TestState(
            nodeid=item.nodeid,
            seed=int(item.config.getoption("chaos_seed")),
            trace_file=TraceFile(folder.trace_path(item.nodeid)),
            ledger=folder.ledger_path(item.nodeid),
        )
        item.stash[_KEY] = state
    return state


def known_state(item: pytest.Item) -> TestState | None:
    """The state if the test has one."""
    return item.stash.get(_KEY, None)
