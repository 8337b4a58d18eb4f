"""The search on one test: what it is made of, and what came of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.options import SearchOptions
from pytest_agent.chaos.search.coverage import coverage
from pytest_agent.chaos.search.failure import Failure
from pytest_agent.chaos.search.found import Found
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.search import Search
from pytest_agent.chaos.search.shrink import shrink
from pytest_agent.chaos.search.ways import failures_among
from pytest_agent.chaos.subject import TestSubject
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import Catalogue, Named


class Exploration:
    """The search on one test. `subject` runs it; `verdicts` are those of all runs under faults, in order.

    `failures` are the ways in which it breaks, each at its fewest faults. `found` is None until it was searched.
    """

    def __init__(self, item: pytest.Item, mark: ChaosMark, catalogue: Catalogue) -> None:
        self._item = item
        self.catalogue = catalogue
        self.options = SearchOptions.of(item.config)
        self.subject = TestSubject(item, catalogue, must_recover=mark.must_recover)
        self.faults: list[Named] = catalogue.select(mark.faults)
        self.clean: Observed | None = None
        self.found: Found | None = None
        self.verdicts: list[Verdict] = []
        self.failures: list[Failure] = []
        self.not_reached: list[str] = []
        self.not_deterministic: str | None = None
        self.complete = False

    def probe_clean(self) -> bool:
        """Run without faults. False where the test does not pass by itself."""
        self.clean = self.subject.observe_clean()
        return self.clean is not None

    def explore(self) -> None:
        """Search, and shrink what broke the test. Ends early where the session is asked to stop."""
        if self.clean is None:
            raise RuntimeError("the test is explored once its run without faults has held: call probe_clean() first")
        self.not_deterministic = self.subject.difference_of_clean_runs()
        search = Search(
            self.subject,
            self.clean,
            self.faults,
            self.options.bounds,
            seed=self.options.seed,
            monotonic=time.monotonic,
            stop=self._asked_to_stop,
            on_run=lambda run, _: self.verdicts.append(run.verdict),
        )
        reached = {schedule.faults[0].id for schedule in search.singles}
        self.not_reached = [fault.id for fault in self.faults if fault.id not in reached]
        self.found = search.run()
        self.verdicts = [run.verdict for run in self.found.observed]
        self.failures = failures_among(self.found.observed, self._shrink)
        self.complete = not self.found.stopped

    def coverage(self) -> dict[str, Any] | None:
        """What was and was not explored, as canonical data; None where nothing was."""
        if self.clean is None or self.found is None:
            return None
        return coverage(self.clean, self.found, self.faults)

    def _shrink(self, run: Observed) -> Observed:
        return run if self._asked_to_stop() else shrink(run, self.subject)

    def _asked_to_stop(self) -> bool:
        return bool(self._item.session.shouldstop or self._item.session.shouldfail)
