"""A test's result as canonical data, and the few lines that say what broke it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.canonical import canonical
from pytest_agent.chaos.search.bounds import Shard
from pytest_agent.chaos.search.failure import Failure
from pytest_agent.chaos.state import test_id
from pytest_agent.chaos.timeline import timeline
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import Catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.report.fewest import fewest
from pytest_agent.report.replay import Begun, replay_line, seen_from


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test is, and how its session was begun: what a command needs to run it as it was run.

    `shown` is the test's id as seen from the current folder, which belongs on the terminal and not into a result;
    `temporary` is where pytest has made folders for tests, if it has.
    """

    nodeid: str
    root: Path
    begun: Begun
    shown: str = ""
    temporary: Path | None = None

    @classmethod
    def of(cls, item: pytest.Item) -> Place:
        """The place of a collected test."""
        config, nodeid = item.config, test_id(item)
        return cls(
            nodeid=nodeid,
            root=config.rootpath,
            begun=Begun.of(config),
            shown=seen_from(config.invocation_params.dir, config.rootpath, nodeid),
            temporary=getattr(getattr(config, "_tmp_path_factory", None), "_basetemp", None),
        )

    def plain(self, value: Any) -> Any:
        """Text, or data full of text, without what is of this machine and process only."""
        return canonical(value, self.root, self.temporary)


def test_result(
    place: Place,
    verdicts: Sequence[Verdict],
    failures: Sequence[Failure],
    not_reached: Sequence[str],
    catalogue: Catalogue,
    *,
    expect_failure: str | None,
    passed: bool,
    complete: bool,
    cut: str,
    coverage: dict[str, Any] | None,
    not_deterministic: str | None,
    known: Sequence[dict[str, Any]],
    shard: Shard,
) -> dict[str, Any]:
    """Everything a report needs of one test: JSON data with no real time, path, port or process.

    `complete` is False where the search was interrupted; `cut` says which bound ended one that was not through;
    `known` is how the known failures stand, `shard` the part of the search that was asked for.
    """
    found = place.plain(
        {
            "runs": [verdict.to_dict() for verdict in verdicts],
            "failures": failures_of(place, failures, catalogue),
            "not_deterministic": not_deterministic,
        }
    )
    return {
        "test": place.nodeid,
        "seed": place.begun.seed,
        "expect_failure": expect_failure,
        "passed": passed,
        "complete": complete,
        "cut": cut,
        "coverage": coverage,
        "not_applied": list(not_reached),
        "known": list(known),
        "shard": None if shard.is_whole else str(shard),
        **found,
    }


def failures_of(place: Place, failures: Sequence[Failure], catalogue: Catalogue) -> list[dict[str, Any]]:
    """One entry for each way in which the test breaks, at its fewest faults."""
    return [_entry(place, failure, catalogue) for failure in failures]


def _entry(place: Place, failure: Failure, catalogue: Catalogue) -> dict[str, Any]:
    verdict = failure.verdict
    faults = Schedule.parse(verdict.schedule).faults
    named = [catalogue[fault] for fault in dict.fromkeys(verdict.faults)]
    return {
        "schedule": verdict.schedule,
        "fewest": [f"{fault.name} at {fault.site}" for fault in faults],
        "found_as": failure.found_as,
        "shrunk_from": len(Schedule.parse(failure.found_as).faults),
        "ids": list(verdict.ids),
        "violations": [{"text": str(item), "evidence": list(item.evidence)} for item in verdict.violations],
        "titles": [fault.title for fault in named],
        "correct": [fault.entry.correct.strip() for fault in named],
        "incident": [fault.entry.evidence[0] for fault in named],
        "timeline": timeline(verdict.events, place.plain),
        "replay": replay_line(place.nodeid, verdict.schedule, place.begun.anywhere(), ids=verdict.ids),
        "also_at": list(failure.also_at),
        "known": failure.known,
        "confirmed": None if failure.confirmed is None else failure.confirmed.to_dict(),
    }


def short_text(place: Place, failures: Sequence[dict[str, Any]], saved: Mapping[str, str]) -> str:
    """What broke the test, the fewest faults that do it, and the line that replays it.

    `saved` is what is said of a schedule that was to be written as a scenario.
    """
    lines: list[str] = []
    for failure in failures:
        lines += [violation["text"] for violation in failure["violations"]]
        lines.append(f"  fewest faults: {fewest(failure)}")
        line = replay_line(place.shown, failure["schedule"], place.begun, ids=failure["ids"])
        if failure["confirmed"] is not None:
            lines.append(f"  {failure['confirmed']['said']}")
        if failure["schedule"] in saved:
            lines.append(f"  {saved[failure['schedule']]}")
        lines.append(f"  replay: {line}")
    return "\n".join(lines)
