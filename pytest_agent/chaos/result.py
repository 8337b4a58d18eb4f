"""A test's result as canonical data, and the few lines that say what broke it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from pytest_agent.chaos.timeline import timeline
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import Catalogue


def test_result(
    nodeid: str,
    seed: int,
    verdicts: Sequence[Verdict],
    not_reached: Sequence[str],
    catalogue: Catalogue,
    *,
    expect_failure: str | None,
    passed: bool,
) -> dict[str, Any]:
    """Everything a report needs of one test: JSON data with no real time, path, port or process."""
    return {
        "test": nodeid,
        "seed": seed,
        "expect_failure": expect_failure,
        "passed": passed,
        "runs": [verdict.to_dict() for verdict in verdicts],
        "not_applied": list(not_reached),
        "failures": failures_of(nodeid, [verdict for verdict in verdicts if verdict.failed], catalogue),
    }


def failures_of(nodeid: str, failures: Sequence[Verdict], catalogue: Catalogue) -> list[dict[str, Any]]:
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
            "ids": list(verdict.ids),
            "violations": [{"text": str(item), "evidence": list(item.evidence)} for item in verdict.violations],
            "titles": [catalogue[fault].title for fault in verdict.faults],
            "correct": [entry.correct.strip() for entry in entries],
            "incident": [entry.evidence[0] for entry in entries],
            "timeline": timeline(verdict.events),
            "replay": replay_line(nodeid, verdict.schedule),
            "also_at": [],
        }
    return list(found.values())


def replay_line(nodeid: str, schedule: str) -> str:
    """The command that runs the test under this schedule, to be pasted into a shell."""
    return f"pytest {shlex.quote(nodeid)} --chaos-replay {shlex.quote(schedule)}"


def short_text(failures: Sequence[dict[str, Any]]) -> str:
    """What broke the test, the fewest faults that do it, and the line that replays it."""
    lines: list[str] = []
    for failure in failures:
        lines += [violation["text"] for violation in failure["violations"]]
        lines.append(f"  fewest faults: {failure['schedule'].replace('@', ' at ', 1)}")
        lines.append(f"  replay: {failure['replay']}")
    return "\n".join(lines)
