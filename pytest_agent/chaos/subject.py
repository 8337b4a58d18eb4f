"""A collected test as what is searched: entered again for each schedule, and once more for the record.

pytest's own protocol is entered anew for each run, with the item's parent as the next item: fixtures of function
scope are made afresh and wider ones are kept. All runs but the last are probes, which swallow what the test raises and
log nothing; the last one is the test's result, so that `-x`, `--lf` and `--pdb` see what a person would expect.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from types import MethodType

import pytest
from _pytest.runner import runtestprotocol

from pytest_agent.chaos.death_verdict import PROCESS
from pytest_agent.chaos.result import Place
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.same import first_difference
from pytest_agent.chaos.state import TestState, state_of
from pytest_agent.chaos.verdict import Verdict, judge
from pytest_agent.faults.catalogue import Catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.trace import Event


class TestSubject:
    """One test. `must_recover`: a transient fault must end in success."""

    __test__ = False

    def __init__(self, item: pytest.Item, catalogue: Catalogue, *, must_recover: bool = False) -> None:
        self._item = item
        self._catalogue = catalogue
        self._must_recover = must_recover
        self._baseline: tuple[Event, ...] | None = None

    def observe_clean(self) -> Observed | None:
        """Run without faults; the baseline of all that follows. None where the test does not pass by itself."""
        state = self._probe(Schedule())
        if state.run is None or not state.ended or state.error is not None or state.fixture_errors:
            return None
        self._baseline = tuple(state.run.trace.events)
        return Observed.of(state.schedule, self.judge(state), self._baseline)

    def difference_of_clean_runs(self) -> str | None:
        """Run without faults once more. Where that run is not as the first one was, in words; None where it is."""
        return self.difference_to(_events(self._probe(Schedule())))

    def difference_to(self, events: Sequence[Event]) -> str | None:
        """The first difference of another clean run to the baseline, in words; None where there is none."""
        return first_difference(self._baseline or (), events, Place.of(self._item).plain)

    def observe(self, schedule: Schedule) -> Observed:
        """Run once under the schedule, as a probe."""
        state = self._probe(schedule)
        return Observed.of(schedule, self.judge(state), _events(state))

    def adopt(self, baseline: Sequence[Event]) -> None:
        """The clean run has been elsewhere: this is its trace."""
        self._baseline = tuple(baseline)

    def warm_up(self) -> bool:
        """Make all fixtures and undo those of the test itself: the wider ones are there from now on.

        False where the test cannot be set up, or is skipped.
        """
        option = self._item.config.option
        outer, option.setuponly = getattr(option, "setuponly", False), True
        try:
            state = self._probe(Schedule())
        finally:
            option.setuponly = outer
        return state.run is not None and state.set_up and not state.fixture_errors

    def judge(self, state: TestState) -> Verdict:
        """The verdict on the run that just ended."""
        named = tuple(self._catalogue[fault.id] for fault in state.schedule.faults)
        return judge(
            str(state.schedule),
            _events(state),
            self._baseline,
            named,
            must_recover=self._must_recover,
            errors=state.fixture_errors,
            skipped=state.skipped,
        )

    def can_repeat(self, verdict: Verdict) -> bool:
        """Whether a run with this verdict may be made again. One that ends its process would take the session along."""
        return PROCESS not in verdict.ids

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
        return self._run(nextitem, log=True)

    def conclude_unrun(
        self, nextitem: pytest.Item | None, told: Callable[[], BaseException | None]
    ) -> list[pytest.TestReport]:
        """The last run where the test must not be run here: `told` says what it ends with, in its place."""

        def instead() -> None:
            __tracebackhide__ = True
            error = told()
            if error is not None:
                raise error

        self._enter(Schedule(), probing=False)
        vars(self._item)["runtest"] = instead
        try:
            return self._run(nextitem, log=True)
        finally:
            del vars(self._item)["runtest"]

    def _probe(self, schedule: Schedule) -> TestState:
        state = self._enter(schedule, probing=True)
        option = self._item.config.option
        shown, option.setupshow = getattr(option, "setupshow", False), False
        began = time.perf_counter()
        try:
            # What every run warns of is told once, by the last one.
            with warnings.catch_warnings(record=True):
                reports = self._run(self._item.parent, log=False)
        finally:
            option.setupshow = shown
            state.explored_s += time.perf_counter() - began
        state.set_up = reports[0].passed
        state.fixture_errors += [f"{report.when} failed: {_last_line(report)}" for report in reports if report.failed]
        return state

    def _enter(self, schedule: Schedule, *, probing: bool) -> TestState:
        state = state_of(self._item)
        state.begin(schedule, self._catalogue.arm(schedule), probing=probing)
        return state

    def _run(self, nextitem: pytest.Item | pytest.Collector | None, *, log: bool) -> list[pytest.TestReport]:
        # Captured output is kept on the item and would pile up from run to run.
        self._item._report_sections.clear()
        _new_instance(self._item)
        return runtestprotocol(self._item, log=log, nextitem=nextitem)  # type: ignore[arg-type]


def _events(state: TestState) -> Sequence[Event]:
    return state.run.trace.events if state.run is not None else ()


def _new_instance(item: pytest.Item) -> None:
    """A test in a class has an instance of its own, and so has every run of it. pytest keeps the one it collected."""
    bound = getattr(item, "_obj", None)
    if isinstance(item.parent, pytest.Class) and isinstance(bound, MethodType):
        fresh = item.parent.newinstance()  # type: ignore[no-untyped-call]
        vars(item).update(_instance=fresh, _obj=MethodType(bound.__func__, fresh))


def _last_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    lines = text.strip().splitlines()
    return lines[0] if lines else "no detail"
