"""A test's result as canonical data, and the few lines that say what broke it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.canonical import canonical
from pytest_agent.chaos.state import test_id
from pytest_agent.chaos.timeline import timeline
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import Catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.report.replay import replay_line, seen_from, supervision_of


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test is, and what else a command needs to run it as it was run: its seed, and the file of its options.

    `supervision` are the words that make a run of it supervised. `shown` is the test's id as seen from the current
    folder, which belongs on the terminal and not into a result;
    `temporary` is where pytest has made folders for tests, if it has.
    """

    nodeid: str
    root: Path
    seed: int = 0
    options: str | None = None
    supervision: tuple[str, ...] = ()
    shown: str = ""
    temporary: Path | None = None

    @classmethod
    def of(cls, item: pytest.Item) -> Place:
        """The place of a collected test."""
        config, nodeid = item.config, test_id(item)
        return cls(
            nodeid=nodeid,
            root=config.rootpath,
            seed=int(config.getoption("chaos_seed")),
            options=config.getoption("inifilename"),
            supervision=supervision_of(config),
            temporary=getattr(getattr(config, "_tmp_path_factory", None), "_basetemp", None),
            shown=seen_from(config.invocation_params.dir, config.rootpath, nodeid),
        )

    def plain(self, value: Any) -> Any:
        """Text, or data full of text, without what is of this machine and process only."""
        return canonical(value, self.root, self.temporary)


def test_result(
    place: Place,
    verdicts: Sequence[Verdict],
    not_reached: Sequence[str],
    catalogue: Catalogue,
    *,
    expect_failure: str | None,
    passed: bool,
    complete: bool,
) -> dict[str, Any]:
    """Everything a report needs of one test: JSON data with no real time, path, port or process.

    `complete` is False where the search was interrupted.
    """
    found = place.plain(
        {
            "runs": [verdict.to_dict() for verdict in verdicts],
            "failures": failures_of(place, [verdict for verdict in verdicts if verdict.failed], catalogue),
        }
    )
    return {
        "test": place.nodeid,
        "seed": place.seed,
        "expect_failure": expect_failure,
        "passed": passed,
        "complete": complete,
        "not_applied": list(not_reached),
        **found,
    }


def failures_of(place: Place, failures: Sequence[Verdict], catalogue: Catalogue) -> list[dict[str, Any]]:
    """One entry for each way in which the test breaks: per fault and first invariant, at its earliest site."""
    found: dict[tuple[tuple[str, ...], str], dict[str, Any]] = {}
    for verdict in failures:
        first = verdict.violations[0]
        key = (verdict.faults, first.id)
        if key in found:
            found[key]["also_at"].append(verdict.schedule)
            continue
        entries = [catalogue[fault].entry for fault in verdict.faults]
        found[key] = {
            "schedule": verdict.schedule,
            "fewest": [f"{fault.name} at {fault.site}" for fault in Schedule.parse(verdict.schedule).faults],
            "ids": list(verdict.ids),
            "violations": [{"text": str(item), "evidence": list(item.evidence)} for item in verdict.violations],
            "titles": [catalogue[fault].title for fault in verdict.faults],
            "correct": [entry.correct.strip() for entry in entries],
            "incident": [entry.evidence[0] for entry in entries],
            "timeline": timeline(verdict.events, place.plain),
            "replay": replay_line(
                place.nodeid, verdict.schedule, seed=place.seed, ids=verdict.ids, supervision=place.supervision
            ),
            "also_at": [],
        }
    return list(found.values())


def short_text(place: Place, failures: Sequence[dict[str, Any]]) -> str:
    """What broke the test, the fewest faults that do it, and the line that replays it."""
    lines: list[str] = []
    for failure in failures:
        lines += [violation["text"] for violation in failure["violations"]]
        lines.append(f"  fewest faults: {'; '.join(failure['fewest'])}")
        line = replay_line(
            place.shown,
            failure["schedule"],
            seed=place.seed,
            options=place.options,
            ids=failure["ids"],
            supervision=place.supervision,
        )
        lines.append(f"  replay: {line}")
    return "\n".join(lines)
