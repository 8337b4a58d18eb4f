"""The ratchet on one test: how its known failures stand today, and which failure is a new one."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_agent.chaos.known import Known
from pytest_agent.chaos.search.failure import Failure
from pytest_agent.chaos.search.observed import Subject, same_way
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.errors import PytestAgentError
from pytest_agent.faults.schedule import Schedule

State = Literal["fails", "fixed", "gone", "not judged"]


class KnownFailuresDiffer(PytestAgentError, AssertionError):
    """The file of known failures does not say what is so: something in it is fixed, gone or out of date."""


@dataclass(frozen=True, slots=True)
class _Standing:
    entry: Known
    verdict: Verdict
    expired: bool

    @property
    def state(self) -> State:
        if self.verdict.failed:
            return "fails"
        if self.verdict.word == "not judged":
            return "not judged"
        return "gone" if self.verdict.word == "not applied" else "fixed"

    @property
    def edit(self) -> str:
        """What has to be changed in the file; empty where nothing has."""
        entry, day = self.entry, self.entry.expires.isoformat()
        if self.state == "fixed":
            return f"fixed: {entry.schedule} does not break it any more; remove it: {entry.where}"
        if self.state == "gone":
            return f"gone: {entry.schedule} finds nothing to strike any more; remove it: {entry.where}"
        if self.expired:
            return (
                f"expired on {day}: {entry.schedule} ({entry.reason}); repair it, or give it another day: {entry.where}"
            )
        return ""


class Ratchet:
    """The known failures of a test.

    `today` decides what has expired. `accept` is the reason with which new failures become known ones. `demands` is
    False for a part of the search that leaves it to the first part to demand edits of the file.
    """

    def __init__(
        self, entries: Sequence[Known], today: datetime.date, *, accept: str | None = None, demands: bool = True
    ) -> None:
        self._entries = entries
        self._today = today
        self._demands = demands
        self._standings: list[_Standing] = []
        self._accept = accept

    @property
    def schedules(self) -> list[Schedule]:
        """The known schedules, in the order of the file: they are run before everything else."""
        return [entry.schedule for entry in self._entries]

    def look(self, seen: Sequence[Verdict], subject: Subject) -> list[Verdict]:
        """See how they stand, from the runs that were made; those of them that were not are run. Gives these."""
        verdicts = {verdict.schedule: verdict for verdict in seen}
        more = []
        self._standings = []
        for entry in self._entries:
            verdict = verdicts.get(str(entry.schedule))
            if verdict is None:
                verdict = subject.observe(entry.schedule).verdict
                more.append(verdict)
            self._standings.append(_Standing(entry, verdict, self._today > entry.expires))
        return more

    def reason_for(self, failure: Verdict) -> str | None:
        """The reason of the known failure that this one is, None for a new one.

        It is one if the same faults break the test in the same way, at whichever site: that is one failure and has one
        entry. Or if a known schedule is part of it and breaks the test in that way alone.
        """
        for standing in self._standings:
            known = standing.verdict
            if same_way(known, failure) and (
                sorted(known.faults) == sorted(failure.faults) or _faults(known.schedule) <= _faults(failure.schedule)
            ):
                return standing.entry.reason
        return None

    def mark(self, failures: Sequence[Failure]) -> list[Failure]:
        """The failures, those that are known with their reason."""
        return [dataclasses.replace(failure, known=self.reason_for(failure.verdict)) for failure in failures]

    def excuse(self, failures: Sequence[Failure]) -> str | None:
        """Why these failures do not fail the test; None where they do."""
        reasons = dict.fromkeys(failure.known or self._accept for failure in failures)
        return None if not failures or None in reasons else "; ".join(str(reason) for reason in reasons)

    def edits(self) -> KnownFailuresDiffer | None:
        """What must be changed in the file before the test can pass; None where it is as it should be."""
        texts = [standing.edit for standing in self._standings if standing.edit]
        return KnownFailuresDiffer("\n".join(texts)) if texts and self._demands else None

    def to_text(self) -> str:
        """The known failures that there still are, a line each."""
        return "\n".join(
            f"  known: {standing.entry.schedule} ({standing.entry.reason}, until {standing.entry.expires.isoformat()})"
            for standing in self._standings
            if standing.state == "fails"
        )

    def to_list(self) -> list[dict[str, Any]]:
        """Canonical JSON data."""
        return [
            {
                "schedule": str(standing.entry.schedule),
                "reason": standing.entry.reason,
                "expires": standing.entry.expires.isoformat(),
                "state": standing.state,
                "edit": standing.edit,
            }
            for standing in self._standings
        ]


NO_RATCHET = Ratchet((), datetime.date.min)
"""Where nothing is known: a replay shows what a schedule does, not whether that is put up with."""


def _faults(schedule: str) -> set[object]:
    return set(Schedule.parse(schedule).faults)
