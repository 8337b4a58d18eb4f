"""The search: what is run, in which order, until everything is seen or the bounds are reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from pytest_agent.chaos.search.bounds import LANES, Bounds
from pytest_agent.chaos.search.covering import covering_rows
from pytest_agent.chaos.search.found import Cut, Found, Phase, Ran, in_order
from pytest_agent.chaos.search.lanes import Lane, lane_of, share
from pytest_agent.chaos.search.observed import Observed, Subject
from pytest_agent.chaos.search.pairs import Pair, near_pairs, pairs_of, turns_with_effects
from pytest_agent.chaos.search.random_walk import random_walk
from pytest_agent.chaos.search.recovery import recovery_pairs
from pytest_agent.chaos.search.singles import combined, faults_at, grave, single_faults
from pytest_agent.faults.catalogue import Named
from pytest_agent.faults.schedule import Fault, Schedule

FEW = 600
"""So many pairs in the places of the clean run are all run one by one; more are packed into rows."""
_UNTIL = {2: 0.6, 3: 0.9, 4: 1.0}
"""The part of the time after which a step of the search gives way to the next."""
Step = tuple[Lane, Phase, Iterator[Schedule]]


def _say_nothing(run: Observed, phase: Phase) -> None:
    del run, phase


class Search:
    """The search on one subject, whose run without faults is `clean`.

    `first` is run before all else. `monotonic` gives real seconds, `stop` says that the session is to end. Only the
    lanes of the shard in `bounds` are run. `on_run` is told of each run as it was made. Between the runs of two lanes
    there is no order that matters, so that what `run` gives does not depend on the shards, unless time cuts it.
    """

    def __init__(
        self,
        subject: Subject,
        clean: Observed,
        faults: Sequence[Named],
        bounds: Bounds,
        *,
        seed: int,
        first: Sequence[Schedule] = (),
        monotonic: Callable[[], float],
        stop: Callable[[], bool],
        on_run: Callable[[Observed, Phase], None] = _say_nothing,
    ) -> None:
        self._subject, self._clean, self._bounds, self._seed, self._first = subject, clean, bounds, seed, first
        self._faults = grave(faults) if bounds.scope.grave_only else list(faults)
        self._monotonic, self._stop, self._on_run = monotonic, stop, on_run
        self._began = monotonic()
        self._cut: Cut = ""
        self._known: dict[str, Observed] = {}
        self._ran: list[Ran] = []
        scope = bounds.scope
        self._singles = list(single_faults(self._faults, clean.sites, swept=scope.swept, most=scope.alike))
        self._place = {str(schedule): place for place, schedule in enumerate(self._singles)}
        sites = frozenset(seen.site for seen in clean.sites)
        self._lanes = [Lane(number, sites) for number in range(LANES) if bounds.shard.has(number)]

    @property
    def singles(self) -> Sequence[Schedule]:
        """Each fault alone, at sites of the clean run where it applies: the part of a search known beforehand."""
        return self._singles

    def run(self) -> Found:
        """Search to the end or to the bounds."""
        try:
            self._search()
        except _Stopped:
            self._cut = "stopped"
        return Found(in_order(self._ran), self._cut)

    def _search(self) -> None:
        lanes = {lane.number: lane for lane in self._lanes}
        for place, schedule in enumerate(self._first):
            if lane_of(schedule.faults[0]) in lanes and self._may_go_on(1.0):
                self._observe(schedule, "first", (0, place, 0))
        most = None if self._bounds.runs is None else max(0, self._bounds.runs - len(self._first))
        for schedule in self._singles[:most]:
            lane = lanes.get(lane_of(schedule.faults[0]))
            if lane is not None and self._may_go_on(1.0):
                self._step(lane, schedule, "single", 1)
        if most is not None and most < len(self._singles):
            self._cut = self._cut or "runs"
        elif self._bounds.scope.pairs is None or self._bounds.scope.pairs > 0:
            self._combine(None if most is None else most - len(self._singles))

    def _combine(self, left: int | None) -> None:
        """Several faults at once, `left` runs in all."""
        scope = self._bounds.scope
        for lane in self._lanes:
            lane.left = None if left is None else share(left, lane.number)
        named = {fault.id: fault for fault in combined(self._faults)}
        firsts = [fault for seen in self._clean.sites for one in named.values() for fault in faults_at(one, seen)]
        pairs = {lane.number: pairs_of(lane, firsts) for lane in self._lanes}
        turns = turns_with_effects(self._clean.sites)
        steps: list[Step] = []
        for lane in self._lanes:
            near: Step = (lane, "pair", lane.untried(near_pairs(pairs[lane.number], turns)))
            again: Step = (lane, "recovery", lane.untried(recovery_pairs(lane, firsts, named)))
            steps += [again, near, again]
        self._in_turn(steps, 2, most=scope.most_pairs(len(self._singles)))
        if scope.pairs is not None:
            return
        few = _count_pairs(firsts) <= FEW
        self._in_turn([self._rest(lane, pairs[lane.number], few) for lane in self._lanes], 3)
        walks: list[Step] = [
            (lane, "random", random_walk(lane, named, self._clean.sites, self._seed)) for lane in self._lanes
        ]
        self._in_turn(walks, 4, most=scope.random)

    @staticmethod
    def _rest(lane: Lane, pairs: Sequence[Pair], few: bool) -> Step:
        if few:
            return lane, "pair", lane.untried(Schedule.of(pair) for pair in pairs)
        return lane, "cover", covering_rows(lane, pairs)

    def _in_turn(self, steps: Iterable[Step], group: int, *, most: int | None = None) -> None:
        """One schedule of each step after the other, until all are through or the lane has no runs left."""
        going = list(steps)
        spent = {lane.number: 0 for lane in self._lanes}
        while going:
            still = []
            for step in going:
                lane, phase, schedules = step
                if lane.left is not None and lane.left <= 0:
                    self._cut = self._cut or "runs"
                    continue
                if most is not None and spent[lane.number] >= share(most, lane.number):
                    continue
                if not self._may_go_on(_UNTIL[group]):
                    return
                schedule = next(schedules, None)
                if schedule is None:
                    continue
                spent[lane.number] += 1
                lane.left = None if lane.left is None else lane.left - 1
                self._step(lane, schedule, phase, group)
                still.append(step)
            going = still

    def _step(self, lane: Lane, schedule: Schedule, phase: Phase, group: int) -> None:
        text = str(schedule)
        lane.made += 1
        if text in self._place:
            # Also where a lane asks for a single fault that is another's: it has one place, whoever asks.
            lane.seen[text] = self._observe(schedule, "single", (1, self._place[text], 0))
        else:
            lane.seen[text] = self._observe(schedule, phase, (group, lane.made, lane.number))

    def _observe(self, schedule: Schedule, phase: Phase, order: tuple[int, int, int]) -> Observed:
        text = str(schedule)
        if text not in self._known:
            self._known[text] = self._subject.observe(schedule)
            self._on_run(self._known[text], phase)
        self._ran.append(Ran(order, phase, self._known[text]))
        return self._known[text]

    def _may_go_on(self, part: float) -> bool:
        """Whether there is time, of which this part may be gone. Raises where the session is to end."""
        if self._stop():
            raise _Stopped
        seconds = self._bounds.seconds
        if seconds is not None and self._monotonic() - self._began > seconds * part:
            self._cut = "time"
            return False
        return True


class _Stopped(Exception):
    """The session is to end."""


def _count_pairs(faults: Sequence[Fault]) -> int:
    return len(faults) * (len(faults) - 1) // 2
