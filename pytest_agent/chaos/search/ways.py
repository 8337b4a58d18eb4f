"""From the runs that failed to the ways in which a test breaks, each shrunk once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from pytest_agent.chaos.search.failure import Failure
from pytest_agent.chaos.search.observed import Observed, same_way
from pytest_agent.faults.schedule import Schedule

Way = tuple[tuple[str, ...], str]
"""The faults, by name, and the first thing that did not hold."""


def way_of(run: Observed) -> Way:
    """The way in which a failed run failed."""
    return tuple(sorted(run.verdict.faults)), run.verdict.ids[0]


def failures_among(runs: Sequence[Observed], shrink: Callable[[Observed], Observed]) -> list[Failure]:
    """One for each way, in the order in which they were met; a run that part of its schedule explains is no way.

    Nor is one with the faults of a way of several and more besides, at whatever sites: that is the same way elsewhere.
    """
    groups: dict[Way, list[Observed]] = {}
    failed = {str(run.schedule): run for run in runs if run.verdict.failed}
    for run in failed.values():
        if not any(same_way(part.verdict, run.verdict) for part in _parts(run, failed)):
            groups.setdefault(way_of(run), []).append(run)
    found: dict[Way, tuple[Observed, list[Observed]]] = {}
    for way, group in sorted(groups.items(), key=lambda each: len(each[0][0])):
        known = next((other for other in found if _within(other, way)), None)
        if known is not None:
            found[known][1].extend(group)
            continue
        small = shrink(group[0])
        _, met = found.setdefault(way_of(small), (small, []))
        met += group
    return [_failure(small, met) for small, met in found.values()]


def _within(small: Way, large: Way) -> bool:
    return small[1] == large[1] and len(small[0]) > 1 and Counter(small[0]) <= Counter(large[0])


def _failure(small: Observed, met: Sequence[Observed]) -> Failure:
    others = [str(run.schedule) for run in met if run.schedule != small.schedule]
    return Failure(small.verdict, found_as=str(met[0].schedule), also_at=tuple(dict.fromkeys(others)))


def _parts(run: Observed, failed: dict[str, Observed]) -> Iterator[Observed]:
    faults = run.schedule.faults
    for count in range(1, len(faults)):
        for part in combinations(faults, count):
            if (other := failed.get(str(Schedule(part)))) is not None:
                yield other
