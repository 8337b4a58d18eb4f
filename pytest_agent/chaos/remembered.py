"""The subject of a search, with what earlier sessions left of it: their journal, and what broke it the last time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_agent.chaos.fingerprint import fingerprint
from pytest_agent.chaos.journal import Journal, Journaled
from pytest_agent.chaos.kept import keep, kept
from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.search.observed import Observed, Subject
from pytest_agent.chaos.state import test_id
from pytest_agent.faults.catalogue import Catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.folder import slug


class Remembered:
    """Runs no schedule twice, neither in this session nor where an earlier one was interrupted.

    `kept` is what broke the test the last time.
    """

    def __init__(self, item: pytest.Item, subject: Subject, kept: Sequence[Schedule], journal: Journal | None) -> None:
        self._item = item
        self._subject = subject if journal is None else Journaled(subject, journal)
        self._journal = journal
        self.kept = tuple(kept)
        self._seen: dict[str, Observed] = {}

    @classmethod
    def of(
        cls, item: pytest.Item, subject: Subject, mark: ChaosMark, catalogue: Catalogue, part: str = ""
    ) -> Remembered:
        """For a test whose clean run is over. `part` names what is searched where processes share one search."""
        journal = None
        cache = getattr(item.config, "cache", None)
        if cache is not None:
            path = cache.mkdir("pytest-agent") / f"{slug(test_id(item))}{part}.jsonl"
            journal = Journal.open(path, fingerprint(item, mark, catalogue))
        return cls(item, subject, kept(item, catalogue.select(mark.faults), catalogue), journal)

    def observe(self, schedule: Schedule) -> Observed:
        """A run of the schedule, or what is remembered of one."""
        text = str(schedule)
        if text not in self._seen:
            self._seen[text] = self._subject.observe(schedule)
        return self._seen[text]

    def over(self, failing: Sequence[str] | None, *, complete: bool) -> None:
        """The search is over. `failing` is kept for the next time, and what was kept and not run again.

        None where another part of the search says what fails. `complete`: it came to its end; otherwise the next
        session goes on with it.
        """
        if failing is not None:
            not_run = [str(schedule) for schedule in self.kept if str(schedule) not in self._seen]
            still = [text for text in map(str, self.kept) if text in self._seen and self._seen[text].verdict.failed]
            keep(self._item, [*failing, *still, *not_run])
        if self._journal is not None:
            self._journal.close(done=complete)
