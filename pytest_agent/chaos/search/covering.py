"""Covering arrays: rows of several faults, so that a few runs hold every pair of many faults at many places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from pytest_agent.chaos.search.lanes import Lane
from pytest_agent.chaos.search.pairs import Pair
from pytest_agent.faults.schedule import Fault, Schedule

WIDTH = 4
"""The most faults in a row. The more there are, the likelier one of them ends the run before another can strike."""


def covering_rows(lane: Lane, pairs: Sequence[Pair]) -> Iterator[Schedule]:
    """Rows until every pair of interest was in one, then each pair that no row has shown, by itself.

    A row shows a pair where both of its faults struck and the run held.
    """
    left = _Left(pair for pair in pairs if str(Schedule.of(pair)) not in lane.seen)
    unshown: list[Pair] = []
    while row := left.next_row(lane):
        schedule = Schedule.of(row)
        yield schedule
        run = lane.seen[str(schedule)]
        if run.verdict.failed:
            yield from lane.unknown(schedule)
        taken = left.take(row)
        if run.verdict.failed:
            unshown += taken
        else:
            unshown += [pair for pair in taken if not all(str(fault) in run.applied for fault in pair)]
    yield from lane.untried(Schedule.of(pair) for pair in unshown)


class _Left:
    """The pairs that no row has held yet."""

    def __init__(self, pairs: Iterator[Pair]) -> None:
        self._pairs: dict[Pair, None] = dict.fromkeys(pairs)
        self._beside: dict[Fault, dict[Fault, None]] = {}
        for one, other in self._pairs:
            self._beside.setdefault(one, {})[other] = None
            self._beside.setdefault(other, {})[one] = None

    def next_row(self, lane: Lane) -> list[Fault]:
        """The first pair left, with what brings the most further pairs into the row. Empty at the end."""
        while self._pairs:
            pair = next(iter(self._pairs))
            if any(lane.useless(fault) for fault in pair):
                self.take(pair)
                continue
            row = [*pair]
            while len(row) < WIDTH and (best := self._best(row, lane)) is not None:
                row.append(best)
            return row
        return []

    def take(self, row: Sequence[Fault]) -> list[Pair]:
        """The pairs of the row that were left; they are no more."""
        taken = []
        for one, other in combinations(row, 2):
            for pair in ((one, other), (other, one)):
                if pair in self._pairs:
                    del self._pairs[pair], self._beside[one][other], self._beside[other][one]
                    taken.append(pair)
        return taken

    def _best(self, row: Sequence[Fault], lane: Lane) -> Fault | None:
        best, most = None, 0
        sites = {fault.site for fault in row}
        for candidate in dict.fromkeys(fault for member in row for fault in self._beside[member]):
            gain = sum(candidate in self._beside[member] for member in row)
            if gain > most and candidate.site not in sites and not lane.useless(candidate):
                best, most = candidate, gain
        return best
