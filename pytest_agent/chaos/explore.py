"""The search on one test: what it is made of, and what came of it."""

from __future__ import annotations

import pytest

from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.singles import single_faults
from pytest_agent.chaos.subject import TestSubject
from pytest_agent.chaos.supervised import observing
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import Catalogue, Named


class Exploration:
    """The search on one test. `subject` runs it; `verdicts` are those of all runs under faults, in order."""

    def __init__(self, item: pytest.Item, mark: ChaosMark, catalogue: Catalogue) -> None:
        self._item = item
        self.catalogue = catalogue
        subject = TestSubject(item, catalogue, must_recover=mark.must_recover)
        self.subject = observing(subject, item, supervised=mark.supervised)
        self.faults: list[Named] = catalogue.select(mark.faults)
        self.clean: Observed | None = None
        self.verdicts: list[Verdict] = []
        self.not_reached: list[str] = []
        self.complete = False

    @property
    def failures(self) -> list[Verdict]:
        """The runs that failed, in the order of the search."""
        return [verdict for verdict in self.verdicts if verdict.failed]

    def probe_clean(self) -> bool:
        """Run without faults. False where the test does not pass by itself."""
        self.clean = self.subject.observe_clean()
        return self.clean is not None

    def explore(self) -> None:
        """Each fault at every site where it applies. Ends early where the session is asked to stop."""
        sites = self.clean.sites if self.clean is not None else ()
        reached: set[str] = set()
        for schedule in single_faults(self.faults, sites):
            if self._item.session.shouldstop or self._item.session.shouldfail:
                return
            reached.add(schedule.faults[0].id)
            self.verdicts.append(self.subject.observe(schedule).verdict)
        self.not_reached = [fault.id for fault in self.faults if fault.id not in reached]
        self.complete = True
