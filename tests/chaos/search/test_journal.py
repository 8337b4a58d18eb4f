"""The journal of a search: what it gives back, and what it makes of runs without an end and of torn files."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from pytest_agent.chaos.journal import Journal, Journaled
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.site import Site
from pytest_agent.invariants import Violation
from pytest_agent.trace import OutcomeClaimed

SCHEDULES = [Schedule.parse(f"reply-lost@tool:pay#{n}") for n in range(1, 5)]


def run_of(schedule: Schedule) -> Observed:
    """A run that failed, with all that there can be in one."""
    found = (Violation("I1", "no duplicate effect", "paid twice", ("ledger 1", "ledger 2")),)
    claimed = OutcomeClaimed(seq=3, t_s=1.5, outcome="success", cause=None, detail="returned", errors=[], crash=False)
    verdict = Verdict(str(schedule), ("reply-lost",), "FAILED", "success", found, ("I3",), (claimed,))
    return Observed(schedule, verdict, (SeenSite(Site("tool", "pay"), {"effect": True}),), frozenset({"x@tool:pay#1"}))


class Counted:
    """Runs a schedule, and counts; the third one is interrupted."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def observe(self, schedule: Schedule) -> Observed:
        self.ran.append(str(schedule))
        if schedule == SCHEDULES[2] and len(self.ran) == 3:
            raise KeyboardInterrupt
        return run_of(schedule)


def opened(path: Path, fingerprint: str = "a") -> Journal:
    journal = Journal.open(path, fingerprint)
    assert journal is not None
    return journal


def test_an_interrupted_search_goes_on_where_it_was(tmp_path: Path) -> None:
    path, subject = tmp_path / "one.jsonl", Counted()
    first = opened(path)
    journaled = Journaled(subject, first)
    for schedule in SCHEDULES[:2]:
        journaled.observe(schedule)
    with pytest.raises(KeyboardInterrupt):
        journaled.observe(SCHEDULES[2])
    first.close(done=False)
    again = opened(path)
    journaled = Journaled(subject, again)
    assert [journaled.observe(schedule) for schedule in SCHEDULES] == [run_of(schedule) for schedule in SCHEDULES]
    # The interrupted run is made again, and is not taken for one that killed its process.
    assert subject.ran == [str(SCHEDULES[number]) for number in (0, 1, 2, 2, 3)]
    again.close(done=True)
    assert not path.exists()


def test_a_run_without_an_end_is_one_that_took_its_process_with_it(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    first = opened(path)
    Journaled(Counted(), first).observe(SCHEDULES[0])
    first.begin(SCHEDULES[1])
    first.close(done=False)
    for _ in range(2):
        subject, again = Counted(), opened(path)
        seen = Journaled(subject, again).observe(SCHEDULES[1])
        assert subject.ran == []
        assert seen.verdict.ids == ("process",)
        assert "died under this schedule" in str(seen.verdict.violations[0])
        again.close(done=False)


@pytest.mark.parametrize(
    "tail", [b'{"over": "reply', b'{"over": 1}\n', b"[]\n{}\n", b'{"over": "a", "seen": {}}\n', b"\xff\n"]
)
def test_what_is_not_whole_is_as_if_it_had_never_been_written(tmp_path: Path, tail: bytes) -> None:
    path, subject = tmp_path / "one.jsonl", Counted()
    first = opened(path)
    Journaled(subject, first).observe(SCHEDULES[0])
    first.close(done=False)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    again = opened(path)
    assert path.read_bytes() == whole
    assert set(again.seen) == {str(SCHEDULES[0])}
    Journaled(subject, again).observe(SCHEDULES[1])
    again.close(done=False)
    third = opened(path)
    assert len(third.seen) == 2
    third.close(done=True)


def test_another_fingerprint_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    first = opened(path)
    Journaled(Counted(), first).observe(SCHEDULES[0])
    first.close(done=False)
    for fingerprint in ("b", "a"):
        again = opened(path, fingerprint)
        assert again.seen == {}
        again.close(done=False)


def _is_free(path: Path) -> None:
    raise SystemExit(Journal.open(path, "a") is not None)


def test_two_processes_do_not_share_one(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    journal = opened(path)
    for expected in (0, 1):
        other = multiprocessing.get_context("spawn").Process(target=_is_free, args=(path,))
        other.start()
        other.join(60)
        assert other.exitcode == expected
        if not expected:
            journal.close(done=False)
