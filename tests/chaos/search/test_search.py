"""The order of a search and its bounds, on agents that are rules."""

import importlib.util
import itertools
import sys
from collections import Counter
from pathlib import Path

import pytest

from pytest_agent.chaos.search.bounds import SCOPES, Bounds, Shard
from pytest_agent.chaos.search.coverage import coverage
from pytest_agent.chaos.search.found import Found, merge
from pytest_agent.chaos.search.search import Search
from pytest_agent.chaos.search.singles import single_faults
from pytest_agent.chaos.search.ways import failures_among
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.site import Site

_spec = importlib.util.spec_from_file_location("search_fakes", Path(__file__).with_name("fakes.py"))
assert _spec is not None
assert _spec.loader is not None
fakes = importlib.util.module_from_spec(_spec)
sys.modules["search_fakes"] = fakes
_spec.loader.exec_module(fakes)
Rule, CATALOGUE, schedule = fakes.Rule, fakes.CATALOGUE, fakes.schedule

SITES = ("llm#1", "tool:refund#1", "llm#2", "tool:mail#1", "llm#3")
LOST, LOST_AGAIN = "reply-lost@tool:refund#1", "reply-lost@tool:refund#1/2"
MAIL = "reply-lost@tool:mail#1"


def search(subject, level="full", faults="*", *, now=lambda: 0.0, stop=lambda: False, seed=0, first=(), **bounds):
    return Search(
        subject,
        subject.clean,
        CATALOGUE.select(faults),
        Bounds(level, **bounds),
        seed=seed,
        first=[schedule(text) for text in first],
        monotonic=now,
        stop=stop,
    ).run()


def texts(found: Found) -> list[str]:
    return [str(run.schedule) for run in found.observed]


def broken(found: Found) -> list[str]:
    return [str(run.schedule) for run in found.observed if run.verdict.failed]


def retries(faults):
    """A lost refund is asked for again, and again."""
    more = ()
    if LOST in faults:
        more += ("tool:refund#1/2",)
    if LOST_AGAIN in faults:
        more += ("tool:refund#1/3",)
    return more


def test_every_single_fault_comes_first_then_recovery_then_pairs_and_none_twice() -> None:
    found = search(Rule(SITES, leads=retries), faults="tool.*")
    phases = [ran.phase for ran in found.runs]
    assert phases.index("recovery") > max(place for place, phase in enumerate(phases) if phase == "single")
    assert len(texts(found)) == len(set(texts(found)))
    assert {"single", "recovery", "pair", "random"} == set(phases)
    assert f"{LOST}; {LOST_AGAIN}" in texts(found)
    assert "tool-unavailable@tool:mail#1; reply-lost@tool:refund#1" in texts(found)


def test_all_pairs_are_run_where_they_are_few() -> None:
    found = search(Rule(SITES), faults=["reply-lost", "stream-reset"])
    pairs = [text for text in texts(found) if text.count(";") == 1]
    # Two at tools and three at turns of the model, at five different sites.
    assert {frozenset(text.split("; ")) for text in pairs} >= {
        frozenset((one, other))
        for one in (LOST, MAIL)
        for other in ("stream-reset@llm#1", "stream-reset@llm#2", "stream-reset@llm#3")
    }


def test_a_fault_during_recovery_is_found() -> None:
    subject = Rule(SITES, breaks=lambda faults: {LOST, LOST_AGAIN} <= faults, leads=retries)
    assert f"{LOST}; {LOST_AGAIN}" in broken(search(subject, "ci"))


def test_a_pair_of_many_is_found_in_a_row_and_shown_by_itself() -> None:
    pair = {"rate-limit@llm#1", MAIL}
    subject = Rule(SITES, breaks=lambda faults: pair <= faults)
    found = search(subject)
    assert "cover" in {ran.phase for ran in found.runs}
    assert "; ".join(sorted(pair)) in broken(found)
    held = {frozenset(text.split("; ")) for text in texts(found)}
    named = [fault.id for fault in CATALOGUE.select("transport.*") if not fault.is_control]
    for one in named:
        for other in named:
            assert any({f"{one}@llm#1", f"{other}@llm#3"} <= run for run in held), (one, other)


def test_rows_are_fewer_than_pairs() -> None:
    subject = Rule(SITES)
    found = search(subject)
    many = Counter(ran.phase for ran in found.runs)
    values = len({text for text in texts(found) if ";" not in text and "(" not in text})
    assert many["cover"] < values * (values - 1) / 2 / 3


def test_what_breaks_alone_is_not_paired_over_and_over() -> None:
    subject = Rule(SITES, breaks=lambda faults: LOST in faults)
    found = search(subject, faults="tool.*")
    with_it = [text for text in texts(found) if LOST in text.split("; ")]
    # Itself, and in each of the other lanes once at most.
    assert len(with_it) <= 8
    failures = failures_among(found.observed, lambda run: run)
    assert [failure.verdict.schedule for failure in failures] == [LOST]


@pytest.mark.parametrize(
    ("level", "parts", "runs"),
    [("smoke", 2, None), ("ci", 3, None), ("ci", 2, 7), ("full", 8, None), ("full", 3, 120)],
)
def test_the_parts_of_a_search_are_the_whole(level: str, parts: int, runs: int | None) -> None:
    def subject():
        return Rule(SITES, breaks=lambda faults: {LOST, LOST_AGAIN} <= faults or MAIL in faults, leads=retries)

    faults = ["tool.*", "stream-reset", "rate-limit"]
    whole = search(subject(), level, faults, runs=runs, first=[f"{LOST}; {LOST_AGAIN}"])
    shards = [Shard(number, parts) for number in range(1, parts + 1)]
    several = [
        search(subject(), level, faults, runs=runs, shard=shard, first=[f"{LOST}; {LOST_AGAIN}"]) for shard in shards
    ]
    assert merge(several) == whole


def test_one_seed_gives_one_search_and_another_gives_another() -> None:
    def walk(seed):
        return texts(search(Rule(SITES), faults=["reply-lost", "rate-limit"], seed=seed))

    assert walk(0) == walk(0) != walk(1)


def test_a_bound_on_runs_is_kept_and_said() -> None:
    for runs in (1, 5, 30, 200):
        subject = Rule(SITES, leads=retries)
        found = search(subject, runs=runs)
        assert len(subject.asked) == runs
        assert found.cut == "runs"


def test_a_bound_on_time_ends_the_search_and_is_said() -> None:
    subject = Rule(SITES)
    found = search(subject, now=lambda: float(len(subject.asked)), time_s=50)
    assert found.cut == "time"
    assert len(subject.asked) == 51


def test_a_level_that_is_bounded_in_time_is_so_without_a_word() -> None:
    subject = Rule(SITES)
    assert search(subject, now=lambda: 10.0 * len(subject.asked)).cut == "time"
    assert len(subject.asked) == 11


def test_a_session_that_ends_ends_the_search() -> None:
    subject = Rule(SITES)
    found = search(subject, stop=lambda: len(subject.asked) == 3)
    assert found.stopped
    assert len(found.runs) == 3


def test_smoke_runs_grave_faults_alone_in_their_own_setting() -> None:
    found = search(Rule(SITES), "smoke")
    assert found.runs
    for text in texts(found):
        (fault,) = schedule(text).faults
        assert not fault.params
        assert CATALOGUE[fault.id].entry.severity in ("high", "critical")


def test_ci_runs_a_fifth_more_than_the_single_faults() -> None:
    found = search(Rule(SITES, leads=retries), "ci")
    many = Counter(ran.phase for ran in found.runs)
    assert 0 < many["recovery"] + many["pair"] <= many["single"] * 0.2 + 1


def commits(many):
    return tuple(
        f"{where}store:commit#{n}.{side}"
        for n in range(1, many + 1)
        for side in ("before", "after")
        for where in ("process@", "")
    )


def at(found, fault):
    """The sites at which it was run alone."""
    alone = [run.schedule.faults[0] for run in found.observed if len(run.schedule.faults) == 1]
    return [str(one.site) for one in alone if one.id == fault]


@pytest.mark.parametrize("level", ["smoke", "ci"])
def test_what_is_alike_is_tried_at_some_of_many_places_from_the_first_to_the_last(level: str) -> None:
    sites = at(search(Rule(commits(100)), level, ["store-busy"]), "store-busy")
    assert len(sites) == SCOPES[level].alike
    numbers = [schedule(f"store-busy@{site}").faults[0].site.n for site in sites]
    assert (numbers[0], numbers[-1]) == (1, 100)
    gaps = {after - before for before, after in itertools.pairwise(numbers)}
    assert max(gaps) - min(gaps) <= 1


def test_a_death_is_tried_at_every_place_and_its_control_at_some() -> None:
    facts = {"restartable": True, "last": False, "phase": "after", "file": True}
    sites = [SeenSite(Site.parse(f"process@store:commit#{n}.after"), facts) for n in range(1, 41)]
    many = Counter(one.faults[0].id for one in single_faults(CATALOGUE.select("torn-last-write"), sites, most=8))
    assert many == {"torn-last-write": 40, "write-slow": 8}


def test_each_kind_of_place_has_its_own_share_and_few_places_are_all_tried() -> None:
    found = search(Rule((*SITES, *commits(20))), "ci", ["commit-acknowledgement-lost", "reply-lost"])
    assert sorted(set(at(found, "reply-lost"))) == ["tool:mail#1", "tool:refund#1"]
    assert len(at(found, "commit-acknowledgement-lost")) == SCOPES["ci"].alike


def test_all_that_is_alike_is_tried_at_full_and_what_ci_leaves_out_is_counted() -> None:
    subject = Rule(commits(20))
    faults = CATALOGUE.select(["store-busy"])
    found = {level: search(subject, level, ["store-busy"], runs=2 * 20) for level in ("ci", "full")}
    left = {level: coverage(subject.clean, found[level], faults)["alone"]["not_run"] for level in found}
    assert left["full"] == []
    assert len(left["ci"]) == 2 * (20 - SCOPES["ci"].alike)
    assert set(left["ci"]) <= set(texts(found["full"]))


def test_what_failed_last_time_runs_first_and_once() -> None:
    again = f"{LOST}; {LOST_AGAIN}"
    subject = Rule(SITES, leads=retries)
    found = search(subject, faults="tool.*", first=[again, MAIL])
    assert subject.asked[:2] == [again, MAIL]
    assert subject.asked.count(again) == subject.asked.count(MAIL) == 1
    # What the search comes to by itself stands where it would stand without.
    assert texts(found) == texts(search(Rule(SITES, leads=retries), faults="tool.*"))


def test_the_observer_is_told_of_each_run_once() -> None:
    told = []
    subject = Rule(SITES, leads=retries)
    Search(
        subject,
        subject.clean,
        CATALOGUE.select("tool.*"),
        Bounds("full"),
        seed=0,
        monotonic=lambda: 0.0,
        stop=lambda: False,
        on_run=lambda run, phase: told.append((str(run.schedule), phase)),
    ).run()
    assert [text for text, _ in told] == subject.asked


def test_drawing_leaves_no_folder_and_no_trace(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    search(Rule(SITES), faults=["tool.*", "rate-limit"])
    assert list(tmp_path.iterdir()) == []
