"""The search on one test: what it is made of, and what came of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.options import SearchOptions
from pytest_agent.chaos.parts import hand_in
from pytest_agent.chaos.remembered import Remembered
from pytest_agent.chaos.search.bounds import Shard
from pytest_agent.chaos.search.coverage import coverage
from pytest_agent.chaos.search.failure import Failure
from pytest_agent.chaos.search.found import Found
from pytest_agent.chaos.search.observed import Observed, Subject
from pytest_agent.chaos.search.orders import single_picks
from pytest_agent.chaos.search.search import Search
from pytest_agent.chaos.search.shrink import shrink
from pytest_agent.chaos.search.ways import failures_among
from pytest_agent.chaos.state import part_of
from pytest_agent.chaos.subject import TestSubject
from pytest_agent.chaos.supervised import observing
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import Catalogue, Named
from pytest_agent.faults.schedule import Schedule
from pytest_agent.report.progress import Progress


class Exploration:
    """The search on one test. `subject` runs it; `verdicts` are those of all runs under faults, in order.

    `failures` are the ways in which it breaks, each at its fewest faults. `found` is None until it was searched.
    `elsewhere`: this was a part of the search, and another part is to make the whole of it.
    """

    def __init__(self, item: pytest.Item, mark: ChaosMark, catalogue: Catalogue) -> None:
        self._item = item
        self._mark = mark
        self.catalogue = catalogue
        self.options = SearchOptions.of(item.config)
        subject = TestSubject(item, catalogue, must_recover=mark.must_recover)
        self.subject = observing(subject, item, supervised=mark.supervised)
        self.faults: list[Named] = catalogue.select(mark.faults)
        self.clean: Observed | None = None
        self.found: Found | None = None
        self.verdicts: list[Verdict] = []
        self.failures: list[Failure] = []
        self.not_reached: list[str] = []
        self.not_deterministic: str | None = None
        self.complete = False
        self.remembered: Remembered | None = None
        self.elsewhere = part_of(item) is not None
        self._part = part_of(item)

    @property
    def shard(self) -> Shard:
        """The part of the search that is done here."""
        return self._part.shard if self._part is not None else self.options.bounds.shard

    def probe_clean(self) -> bool:
        """Run without faults. False where the test does not pass by itself."""
        self.clean = self.subject.observe_clean()
        return self.clean is not None

    def explore(self, first: Sequence[Schedule] = ()) -> None:
        """Search, and shrink what broke the test. Ends early where the session is asked to stop.

        The schedules of `first` are run before all else, then those that broke it the last time.
        """
        if self.clean is None:
            raise RuntimeError("the test is explored once its run without faults has held: call probe_clean() first")
        self.not_deterministic = self.subject.difference_of_clean_runs()
        part = "" if self.shard.is_whole else f"-{self.shard.number}-of-{self.shard.of}"
        self.remembered = remembered = Remembered.of(self._item, self.subject, self._mark, self.catalogue, part)
        with Progress(self._item.config, self._item.name, self.clean.sites) as progress:

            def on_run(run: Observed, phase: str) -> None:
                self.verdicts.append(run.verdict)
                progress.on_run(run, phase)

            search = Search(
                remembered,
                self.clean,
                self.faults,
                dataclasses.replace(self.options.bounds, shard=self.shard),
                seed=self.options.seed,
                first=list(dict.fromkeys([*first, *remembered.kept])),
                monotonic=time.monotonic,
                stop=self._asked_to_stop,
                on_run=on_run,
            )
            reached = {schedule.faults[0].id for schedule in search.singles}
            self.not_reached = [fault.id for fault in self.faults if fault.id not in reached]
            found = search.run()
        if self._part is not None:
            whole = hand_in(self._item, self._part, found)
            self.elsewhere = whole is None
            found = whole or found
        self.found = found
        self.verdicts = [run.verdict for run in found.observed]
        self.failures = failures_among(found.observed, _as_it_is if self.elsewhere else self._shrink)
        self.complete = not found.stopped

    def coverage(self) -> dict[str, Any] | None:
        """What was and was not explored, as canonical data; None where nothing was."""
        if self.clean is None or self.found is None:
            return None
        return coverage(self.clean, self.found, self.faults)

    def observe(self, schedule: Schedule) -> Observed:
        """A run of the schedule, or what is remembered of one."""
        subject: Subject = self.remembered or self.subject
        return subject.observe(schedule)

    def over(self) -> None:
        """What was found is kept for the next time; what was not searched to its end is gone on with then."""
        if self.remembered is not None:
            found = None if self.elsewhere else [failure.verdict.schedule for failure in self.failures]
            self.remembered.over(found, complete=self.complete)

    def _shrink(self, run: Observed) -> Observed:
        return run if self._asked_to_stop() else shrink(run, self, expand=_single_orders, catalogue=self.catalogue)

    def _asked_to_stop(self) -> bool:
        return bool(self._item.session.shouldstop or self._item.session.shouldfail)


def _single_orders(run: Observed) -> Schedule | None:
    picks = single_picks(run.schedule, run.verdict.events)
    return None if picks == run.schedule else picks


def _as_it_is(run: Observed) -> Observed:
    return run
