"""Shrinking, on subjects that only pretend to run: what is left, how many runs it took, and that nothing is made up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.shrink import shrink
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.site import Site
from pytest_agent.invariants import Violation

FAULTS = [Fault("reply-lost", Site("tool", "pay", n)) for n in range(1, 9)]
LLM = {"streamed": True, "terminal_at": 9, "arguments": True, "calls": 1, "called": False, "pure": False}


class Pretended:
    """Fails with what `breaks` says of a schedule, and went through `sites`."""

    def __init__(self, breaks: Callable[[Schedule], str | None], sites: tuple[SeenSite, ...] = ()) -> None:
        self.breaks, self.sites = breaks, sites
        self.ran: list[str] = []

    def observe(self, schedule: Schedule) -> Observed:
        self.ran.append(str(schedule))
        id_ = self.breaks(schedule)
        found = () if id_ is None else (Violation(id_, "name", "headline"),)
        ids = tuple(fault.id for fault in schedule.faults)
        word = "survived" if id_ is None else "FAILED"
        return Observed(schedule, Verdict(str(schedule), ids, word, "success", found, (), ()), self.sites, frozenset())


def shrunk(subject: Pretended, text: str, **options: int) -> str:
    """What is left of a schedule that fails."""
    failing = subject.observe(Schedule.parse(text))
    subject.ran.clear()
    return str(shrink(failing, subject, **options).schedule)


def needs(*texts: str) -> Callable[[Schedule], str | None]:
    """Breaks under a schedule that has all of these faults."""
    wanted = {fault for text in texts for fault in Schedule.parse(text).faults}
    return lambda schedule: "I1" if wanted <= set(schedule.faults) else None


def test_of_eight_faults_the_two_that_matter_are_left() -> None:
    subject = Pretended(needs("reply-lost@tool:pay#3", "reply-lost@tool:pay#7"))
    left = shrunk(subject, "; ".join(str(fault) for fault in FAULTS))
    assert left == "reply-lost@tool:pay#3; reply-lost@tool:pay#7"
    assert len(subject.ran) == len(set(subject.ran)) < 40


def test_a_fault_that_strikes_only_under_another_is_kept_with_it() -> None:
    subject = Pretended(needs("reply-lost@tool:pay#1", "reply-lost@tool:pay#1/2"))
    left = shrunk(subject, "reply-lost@tool:pay#1; reply-lost@tool:pay#1/2; reply-lost@tool:other#1")
    assert left == "reply-lost@tool:pay#1; reply-lost@tool:pay#1/2"


def test_another_way_to_fail_is_not_taken_for_this_one() -> None:
    def breaks(schedule: Schedule) -> str | None:
        return "I1" if len(schedule.faults) > 1 else "I3"

    assert shrunk(Pretended(breaks), "reply-lost@tool:a#1; reply-lost@tool:b#1; reply-lost@tool:c#1").count("@") == 2


def test_each_fault_goes_to_its_earliest_place_of_the_same_kind_and_to_the_first_attempt() -> None:
    sites = tuple(SeenSite(Site("tool", name, n), {"effect": True}) for n in (1, 2, 3) for name in ("look", "pay"))

    def breaks(schedule: Schedule) -> str | None:
        return "I1" if any(f.site.name == "pay" and f.site.n >= 2 for f in schedule.faults) else None

    subject = Pretended(breaks, sites)
    assert shrunk(subject, "reply-lost@tool:pay#3/4") == "reply-lost@tool:pay#2"
    assert subject.ran[0] == "reply-lost@tool:pay#1"
    # Nothing is moved to another tool, and a place that the run did not reach is not invented.
    assert not any("look" in text for text in subject.ran)
    assert shrunk(Pretended(breaks), "reply-lost@tool:pay#3") == "reply-lost@tool:pay#3"


@pytest.mark.parametrize(
    ("least", "left"),
    [(0, "stream-clean-eof@llm#1"), (4, "stream-clean-eof(after=4)@llm#1"), (8, "stream-clean-eof(after=8)@llm#1")],
)
def test_the_catalogues_own_setting_first_then_the_smallest_number(least: int, left: str) -> None:
    def breaks(schedule: Schedule) -> str | None:
        (fault,) = schedule.faults
        return "I8" if int(dict(fault.params).get("after", 3)) >= least else None

    subject = Pretended(breaks, (SeenSite(Site("llm"), LLM),))
    assert shrunk(subject, "stream-clean-eof(after=8)@llm#1") == left


def test_only_settings_that_the_effect_can_take_are_run() -> None:
    def breaks(schedule: Schedule) -> str | None:
        return "I1" if dict(schedule.faults[0].params).get("how") == "reset" else None

    subject = Pretended(breaks, (SeenSite(Site("tool", "pay"), {"effect": True}),))
    assert shrunk(subject, "reply-lost(after_s=7.5, how=reset)@tool:pay#1") == "reply-lost(how=reset)@tool:pay#1"
    # "res" is shorter than "reset", and no way in which a reply is lost.
    assert not any("how=res)" in text or 'how=""' in text for text in subject.ran)


def test_runs_that_are_used_up_leave_the_smallest_that_was_seen() -> None:
    subject = Pretended(needs("reply-lost@tool:pay#3", "reply-lost@tool:pay#7"))
    everything = "; ".join(str(fault) for fault in FAULTS)
    assert shrunk(subject, everything, most_runs=0) == everything
    assert not subject.ran
    left = shrunk(subject, everything, most_runs=8)
    assert subject.breaks(Schedule.parse(left)) == "I1"
    assert len(subject.ran) == 8


def test_an_equal_schedule_of_simpler_faults_takes_the_place_of_what_failed() -> None:
    subject = Pretended(
        lambda schedule: "I1" if any(f.id == "reply-slow" or f == FAULTS[3] for f in schedule.faults) else None
    )
    failing = subject.observe(Schedule.parse("reply-slow@tool:pay#1"))
    assert str(shrink(failing, subject, expand=lambda seen: Schedule.of(FAULTS)).schedule) == str(FAULTS[3])
    # One that does not fail is no equal, one that cannot be shrunk to its end is no help, and there may be none.
    for expand in (lambda seen: Schedule.of(FAULTS[:2]), lambda seen: None):
        assert shrink(failing, subject, expand=expand) == failing
    assert shrink(failing, subject, expand=lambda seen: Schedule.of(FAULTS), most_runs=1) == failing


@given(
    st.sets(st.sampled_from(FAULTS), min_size=1),
    st.lists(st.frozensets(st.sampled_from(FAULTS), min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(0, 60),
)
def test_whatever_breaks_it_what_is_left_is_minimal_and_was_seen(
    faults: set[Fault], causes: list[frozenset[Fault]], most: int
) -> None:
    def breaks(schedule: Schedule) -> str | None:
        return next(("I1" for cause in causes if cause <= set(schedule.faults)), None)

    subject = Pretended(breaks)
    failing = subject.observe(Schedule.of(faults | causes[0]))
    subject.ran.clear()
    bounded = shrink(failing, subject, most_runs=most)
    assert len(subject.ran) <= most
    assert len(subject.ran) == len(set(subject.ran))
    assert breaks(bounded.schedule) == "I1"
    assert str(bounded.schedule) in {*subject.ran, str(failing.schedule)}
    subject.ran.clear()
    left = shrink(failing, subject)
    assert len(subject.ran) == len(set(subject.ran))
    for fault in left.schedule.faults:
        assert breaks(Schedule.of(set(left.schedule.faults) - {fault})) is None
    assert shrink(failing, Pretended(breaks)) == left
