"""The results of a session, one for each test, out of what was appended as it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def unite(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One result for each test, sorted by test: the order of tests and workers leaves no trace.

    A later line of a test replaces an earlier. Where only parts of its search are there, because a worker died, they
    are what is known of it, and it is not complete.
    """
    whole: dict[str, dict[str, Any]] = {}
    parts: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        test = str(line["test"])
        if "part" in line:
            parts.setdefault(test, {})[line["part"]] = line
        else:
            whole[test] = line
    tests = sorted({*whole, *parts})
    return [whole[test] if test in whole else _incomplete(list(parts[test].values())) for test in tests]


def _incomplete(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    runs = {run["schedule"]: run for part in parts for run in part["runs"]}
    failures = {failure["schedule"]: failure for part in parts for failure in part["failures"]}
    return {
        **{key: value for key, value in parts[0].items() if key != "part"},
        "runs": sorted(runs.values(), key=_few_faults_first),
        "failures": sorted(failures.values(), key=lambda failure: (len(failure["fewest"]), failure["schedule"])),
        "coverage": None,
        "not_applied": [],
        "complete": False,
        "passed": False,
    }


def _few_faults_first(run: dict[str, Any]) -> tuple[int, str]:
    return len(run["faults"]), run["schedule"]
