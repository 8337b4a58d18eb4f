"""Run one test many times: clean, then under each schedule, then once more for the record.

pytest's own protocol is entered anew for each run, with the item's parent as the next item: fixtures of function
scope are made afresh and wider ones are kept. All runs but the last are probes, which swallow what the test raises and
log nothing; the last one is the test's result, so that `-x`, `--lf` and `--pdb` see what a person would expect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from _pytest.runner import runtestprotocol

from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.singles import single_faults
from pytest_agent.chaos.sites import list_sites
from pytest_agent.chaos.state import TestState, state_of
from pytest_agent.chaos.verdict import Verdict, judge
from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import Catalogue, Named
from pytest_agent.faults.schedule import Schedule
from pytest_agent.trace import Event


class Exploration:
    """The search on one test."""

    def __init__(self, item: pytest.Item, mark: ChaosMark, catalogue: Catalogue) -> None:
        self._item = item
        self._mark = mark
        self.catalogue = catalogue
        self._baseline: tuple[Event, ...] | None = None
        self.faults: list[Named] = catalogue.select(mark.faults)
        self.verdicts: list[Verdict] = []
        self.not_reached: list[str] = []

    @property
    def failures(self) -> list[Verdict]:
        """The runs that failed, in the order of the search."""
        return [verdict for verdict in self.verdicts if verdict.failed]

    def probe_clean(self) -> bool:
        """Run without faults; the baseline of all that follows. False where the test fails or skips by itself."""
        state = self._probe(Schedule())
        if state.error is not None or state.fixture_errors or state.run is None:
            return False
        self._baseline = tuple(state.run.trace.events)
        return True

    def explore(self) -> None:
        """Each fault at every site where it applies."""
        sites = list_sites(self._baseline or ())
        reached: set[str] = set()
        for schedule in single_faults(self.faults, sites):
            reached.add(schedule.faults[0].id)
            state = self._probe(schedule)
            self.verdicts.append(self.judge(state))
        self.not_reached = [fault.id for fault in self.faults if fault.id not in reached]

    def judge(self, state: TestState) -> Verdict:
        """The verdict on the run that just ended."""
        named = tuple(self.catalogue[fault.id] for fault in state.schedule.faults)
        return judge(
            str(state.schedule),
            state.run.trace.events if state.run is not None else (),
            self._baseline,
            named,
            must_recover=self._mark.must_recover,
            errors=state.fixture_errors,
        )

    def conclude(
        self,
        schedule: Schedule,
        nextitem: pytest.Item | None,
        *,
        faulted: Callable[[Verdict, BaseException | None], BaseException | None] | None = None,
        clean: Callable[[], BaseException | None] | None = None,
    ) -> list[pytest.TestReport]:
        """The last run, whose reports are the test's own.

        `faulted` turns the verdict and what the test raised into what the test ends with; `clean` may fail a run
        without faults.
        """
        state = self._enter(schedule, probing=False)
        state.judge, state.conclusion, state.clean_conclusion = self.judge, faulted, clean
        return self._run(nextitem)

    def _probe(self, schedule: Schedule) -> TestState:
        state = self._enter(schedule, probing=True)
        reports = self._run(self._item.parent)
        state.fixture_errors = [
            f"{report.when} failed: {_last_line(report)}"
            for report in reports
            if report.failed and report.when != "call"
        ]
        return state

    def _enter(self, schedule: Schedule, *, probing: bool) -> TestState:
        state = state_of(self._item)
        state.begin(schedule, self.catalogue.arm(schedule), probing=probing)
        return state

    def _run(self, nextitem: pytest.Item | pytest.Collector | None) -> list[pytest.TestReport]:
        # Captured output is kept on the item and would pile up from run to run.
        self._item._report_sections.clear()
        return runtestprotocol(self._item, log=False, nextitem=nextitem)  # type: ignore[arg-type]


def check_replay(schedule: Schedule, catalogue: Catalogue) -> None:
    """Raise UsageError for a schedule that the catalogue cannot arm."""
    if not schedule.faults:
        raise UsageError("the schedule is empty; paste the line a failing run printed")
    catalogue.arm(schedule)


def _last_line(report: pytest.TestReport) -> str:
    lines: Sequence[str] = str(report.longrepr).strip().splitlines()
    return lines[-1].removeprefix("E").strip() if lines else "no detail"
