"""Two faults at places of the clean run: first those around one and the same effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from pytest_agent.chaos.search.lanes import Lane
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.site import Site

Pair = tuple[Fault, Fault]


def pairs_of(lane: Lane, faults: Sequence[Fault]) -> list[Pair]:
    """The lane's pairs at two different places. `faults` are in the order in which the clean run comes to them."""
    return [(one, other) for one, other in combinations(faults, 2) if one.site != other.site and lane.owns(one)]


def near_pairs(pairs: Sequence[Pair], turns: dict[Site, int]) -> Iterator[Schedule]:
    """Those whose two places are around the effects of one turn of the model, one of each first fault in turn."""
    queues: dict[Fault, list[Schedule]] = {}
    for one, other in pairs:
        if one.site in turns and turns[one.site] == turns.get(other.site):
            queues.setdefault(one, []).append(Schedule.of([one, other]))
    for turn in range(max(map(len, queues.values()), default=0)):
        yield from (queue[turn] for queue in queues.values() if turn < len(queue))


def turns_with_effects(sites: Sequence[SeenSite]) -> dict[Site, int]:
    """The number of the model's turn for each site from one that calls a tool with an effect up to the next turn."""
    found: dict[Site, int] = {}
    with_effect: set[int] = set()
    turn = 0
    for seen in sites:
        turn += seen.site.seam == "llm"
        found[seen.site] = turn
        if seen.site.seam == "tool" and seen.facts.get("effect"):
            with_effect.add(turn)
    return {site: turn for site, turn in found.items() if turn in with_effect}
