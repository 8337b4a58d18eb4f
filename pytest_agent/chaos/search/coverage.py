"""What a search has seen of an agent, and what it has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_agent.chaos.search.found import Found
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.search.singles import combined, faults_at, single_faults
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.catalogue import Named
from pytest_agent.faults.site import Site


def coverage(clean: Observed, found: Found, faults: Sequence[Named]) -> dict[str, Any]:
    """Canonical data: runs by their kind, faults at sites, and the states and transitions of the agent's own machine.

    The sites are those of the clean run and those that a run under faults came to because of them. A fault that could
    strike at one is `struck` where it did so in any run, `not_applied` where it never did, `not_run` where none tried.
    `alone` are the faults, in all their settings, at the sites of the clean run: `not_run` those that no run had alone.
    """
    places = _places([clean, *found.observed], faults)
    tried = {f"{fault.id}@{fault.site}" for run in found.observed for fault in run.schedule.faults}
    struck = {
        f"{fault.id}@{fault.site}"
        for run in found.observed
        for fault in run.schedule.faults
        if str(fault) in run.applied
    }
    alone = {str(schedule) for schedule in single_faults(faults, clean.sites)}
    moves = frozenset().union(clean.moves, *(run.moves for run in found.observed))
    ends = {state for move in clean.declared for state in _ends(move)}
    return {
        "runs": dict(sorted(Counter(ran.phase for ran in found.runs).items())),
        "places": {
            "all": len(places),
            "struck": sum(place in struck for place in places),
            "not_applied": sorted(place for place in places if place in tried and place not in struck),
            "not_run": sorted(place for place in places if place not in tried),
        },
        "alone": {"all": len(alone), "not_run": sorted(alone - {str(run.schedule) for run in found.observed})},
        "states": _part(ends, {state for move in moves for state in _ends(move)}),
        "transitions": _part(clean.declared, moves),
    }


def _part(whole: Iterable[str], seen: Iterable[str]) -> dict[str, Any]:
    every, met = set(whole), set(seen)
    return {"all": len(every), "not_seen": sorted(every - met)}


def _ends(move: str) -> tuple[str, str]:
    before, _, after = move.split(" ")
    return before, after


def _places(runs: Sequence[Observed], faults: Sequence[Named]) -> list[str]:
    sites: dict[Site, SeenSite] = {}
    for run in runs:
        for seen in run.sites:
            sites.setdefault(seen.site, seen)
    could = (fault for named in combined(faults) for seen in sites.values() for fault in faults_at(named, seen))
    return sorted({f"{fault.id}@{fault.site}" for fault in could})
