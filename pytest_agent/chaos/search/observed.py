"""What one run showed the search: its verdict, the places it went through, and the faults that struck."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from pytest_agent.chaos.search.moves import transitions_declared, transitions_made
from pytest_agent.chaos.sites import SeenSite, list_sites
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.site import Site
from pytest_agent.invariants import Violation
from pytest_agent.trace import Event, FaultApplied, load_line


@dataclass(frozen=True, slots=True)
class Observed:
    """One run under `schedule`. `sites` are in the order in which it reached them, `applied` the faults that struck.

    A fault that struck is known by its name and the site it was armed for or reached: `reply-lost@tool:refund#1`.
    `moves` are the transitions of the agent's own machine that it made, `PLANNING tool_proposed EXECUTING_STEP`;
    `declared` those that it says it has, given by a clean run only. The repeated attempts of a clean run are no sites.
    """

    schedule: Schedule
    verdict: Verdict
    sites: tuple[SeenSite, ...]
    applied: frozenset[str]
    moves: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()

    @classmethod
    def of(cls, schedule: Schedule, verdict: Verdict, events: Sequence[Event]) -> Self:
        """Read off the run's trace."""
        struck = frozenset(f"{event.fault}@{event.site}" for event in events if isinstance(event, FaultApplied))
        sites = tuple(list_sites(events, attempts=bool(schedule.faults)))
        declared = frozenset() if schedule.faults else transitions_declared(events)
        return cls(schedule, verdict, sites, struck, transitions_made(events), declared)

    def to_dict(self) -> dict[str, Any]:
        """JSON data from which `from_dict` makes an equal one, in another process or later."""
        return {
            "schedule": str(self.schedule),
            "verdict": self.verdict.to_dict(),
            "events": [event.to_dict() for event in self.verdict.events],
            "sites": [
                {"site": str(seen.site), "facts": seen.facts, "after_fault": seen.after_fault, "state": seen.state}
                for seen in self.sites
            ],
            "applied": sorted(self.applied),
            "moves": sorted(self.moves),
            "declared": sorted(self.declared),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Undo `to_dict`. Raises KeyError, ValueError or UsageError for data that it did not give."""
        return cls(
            Schedule.parse(data["schedule"]) if data["schedule"] else Schedule(),
            _verdict(data["verdict"], data["events"]),
            tuple(SeenSite(**{**seen, "site": Site.parse(seen["site"])}) for seen in data["sites"]),
            frozenset(data["applied"]),
            frozenset(data["moves"]),
            frozenset(data["declared"]),
        )


class Subject(Protocol):
    """What is searched: something that can be run under a schedule, any number of times."""

    def observe(self, schedule: Schedule) -> Observed:
        """Run once under the schedule and say what that showed. One schedule and seed give one result."""


def same_way(one: Verdict, other: Verdict) -> bool:
    """Whether two failed runs failed in the same way: the first thing that did not hold is the same."""
    return one.failed and other.failed and one.ids[0] == other.ids[0]


def _verdict(data: dict[str, Any], events: Sequence[dict[str, Any]]) -> Verdict:
    return Verdict(
        schedule=data["schedule"],
        faults=tuple(data["faults"]),
        word=data["verdict"],
        outcome=data["outcome"],
        violations=tuple(
            Violation(item["id"], item["name"], item["headline"], tuple(item["evidence"]))
            for item in data["violations"]
        ),
        not_judged=tuple(data["not_judged"]),
        events=tuple(load_line(json.dumps(event)) for event in events),
    )
