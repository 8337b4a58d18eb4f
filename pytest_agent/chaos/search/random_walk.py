"""Random schedules of several faults, drawn by Hypothesis and chosen by what they would show that is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from pytest_agent.chaos.search.lanes import Lane
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.singles import faults_at
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.catalogue import Named
from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.site import Site

ValueT = TypeVar("ValueT")
BATCH = 24
"""So many schedules are drawn at a time, of which the best few are run before the next are drawn."""
CHOSEN = 4
LONGEST = 4


def random_walk(lane: Lane, faults: Mapping[str, Named], clean: Sequence[SeenSite], seed: int) -> Iterator[Schedule]:
    """Schedules of two faults and more that begin in this lane, until a batch has nothing new to show."""
    known = Seen(faults, clean)
    for run in lane.seen.values():
        known.add(run)
    batch = 0
    while True:
        pool = [fault for fault in known.pool if not lane.useless(fault)]
        own = [fault for fault in pool if lane.owns(fault)]
        if not own or len(pool) < 2:
            return
        drawn = draw(own, pool, seed=(seed * 1_000_003 + lane.number) * 10_007 + batch)
        batch += 1
        new = [schedule for schedule in drawn if str(schedule) not in lane.seen and known.promise(schedule)]
        if not new:
            return
        # Sorting is stable: what promises the same stays in the order in which it was drawn.
        for schedule in sorted(new, key=known.promise, reverse=True)[:CHOSEN]:
            yield schedule
            run = lane.seen[str(schedule)]
            known.add(run)
            if run.verdict.failed:
                yield from lane.unknown(schedule)


class Seen:
    """What is covered: which fault struck at which site, in which state, and together with which other."""

    def __init__(self, faults: Mapping[str, Named], clean: Sequence[SeenSite]) -> None:
        self._faults = faults
        self._states: dict[Site, set[str]] = {}
        self._struck: set[tuple[str, str]] = set()
        self._together: set[frozenset[str]] = set()
        self.pool: dict[Fault, None] = {}
        self._meet(clean)

    def add(self, run: Observed) -> None:
        """Take note of a run."""
        self._meet(run.sites)
        states = {seen.site: seen.state for seen in run.sites}
        struck = [fault for fault in run.schedule.faults if str(fault) in run.applied]
        self._struck |= {(str(fault), states.get(fault.site, "")) for fault in struck}
        self._together |= {frozenset(map(str, pair)) for pair in combinations(struck, 2)}

    def promise(self, schedule: Schedule) -> int:
        """How much that is new the schedule may show: states in which a fault has not struck, and pairs of faults."""
        new = sum(
            (str(fault), state) not in self._struck
            for fault in schedule.faults
            for state in self._states.get(fault.site, ())
        )
        pairs = (frozenset(map(str, pair)) for pair in combinations(schedule.faults, 2))
        return new + sum(pair not in self._together for pair in pairs)

    def _meet(self, sites: Sequence[SeenSite]) -> None:
        for seen in sites:
            if seen.site not in self._states:
                swept = (fault for named in self._faults.values() for fault in faults_at(named, seen, swept=True))
                self.pool.update(dict.fromkeys(swept))
            self._states.setdefault(seen.site, set()).add(seen.state)


def draw(own: Sequence[Fault], pool: Sequence[Fault], *, seed: int) -> list[Schedule]:
    """Different schedules, each of one of `own` and one to three of `pool` at other sites. One seed gives one list."""
    # It takes a quarter of a second to import, and no session without a search at level full needs it.
    import hypothesis
    from hypothesis import strategies as st

    def one_of(values: Sequence[ValueT]) -> st.SearchStrategy[ValueT]:
        # Bits, and no integers: among those Hypothesis tries constants from whatever modules happen to be loaded.
        bits = st.tuples(*[st.booleans()] * (len(values).bit_length() + 2))
        return bits.map(lambda drawn: values[sum(bit << place for place, bit in enumerate(drawn)) % len(values)])

    found: dict[Schedule, None] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=BATCH,
        database=None,
        derandomize=False,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        print_blob=False,
        backend="hypothesis",
    )
    @hypothesis.given(one_of(own), st.lists(one_of(pool), min_size=1, max_size=LONGEST - 1))
    def collect(first: Fault, others: list[Fault]) -> None:
        at = {fault.site: fault for fault in [*others, first]}
        if len(at) > 1:
            found[Schedule.of(at.values())] = None

    collect()
    return list(found)
