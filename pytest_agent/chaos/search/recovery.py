"""Faults during recovery: the second strikes at a place that the agent comes to only because of the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_agent.chaos.search.lanes import Lane
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.singles import GRAVITY, faults_at
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.catalogue import Named
from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.site import Site


def recovery_pairs(lane: Lane, firsts: Sequence[Fault], faults: Mapping[str, Named]) -> Iterator[Schedule]:
    """A pair of each first fault of the lane in turn, the likeliest first, until no first has any left.

    Likeliest is the same fault once more, as soon as it can strike; then the graver ones. First faults in the world,
    in the store and of the process come before those of the model, which agents mostly try again without a trace.
    """
    mine = sorted((fault for fault in firsts if lane.owns(fault)), key=lambda fault: fault.site.seam == "llm")
    queues = [pairs for first in mine if (pairs := _seconds(lane, first, faults))]
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def sites_of_recovery(first: Fault, run: Observed, clean: frozenset[Site]) -> list[SeenSite]:
    """Where the run came to only because of the fault: retries, fallbacks, and all of a life after a death."""
    return [seen for seen in run.sites if seen.after_fault and (seen.site not in clean or first.site.process)]


def _seconds(lane: Lane, first: Fault, faults: Mapping[str, Named]) -> list[Schedule]:
    run = lane.alone(first)
    if run is None or lane.useless(first):
        return []
    found = []
    for place, seen in enumerate(sites_of_recovery(first, run, lane.clean)):
        for named in faults.values():
            for second in faults_at(named, seen):
                rank = (second.id != first.id, GRAVITY.index(named.entry.severity) if second.id != first.id else 0)
                found.append((*rank, place, Schedule.of([first, second])))
    return [schedule for *_, schedule in sorted(found, key=lambda each: (*each[:3], str(each[3])))]
