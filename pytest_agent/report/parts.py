"""The results of one search that several workers did, each a part, as the one result that it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_OF_A_PART = ("part", "order")


def parts_of(lines: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The last line of each part of one test by its number, in the order in which the parts were there first."""
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        if "part" in line:
            found[line["part"][0]] = line
    return found


def unite(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One result for each test, sorted by test. A later line of a test, or of a part of it, replaces an earlier.

    The order of tests and workers leaves no trace: the parts of a search give what it would give undivided. One that
    lacks a part is not complete.
    """
    by_test: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_test.setdefault(str(line["test"]), []).append(line)
    return [_result(by_test[test]) for test in sorted(by_test)]


def _result(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    parts = parts_of(lines)
    return _united([parts[number] for number in sorted(parts)]) if parts else lines[-1]


def _united(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    order = {schedule: key for part in parts for schedule, key in part["order"].items()}
    runs = {run["schedule"]: run for part in parts for run in part["runs"]}
    failures = _failures([failure for part in parts for failure in part["failures"]], order)
    complete = len(parts) == parts[0]["part"][1] and all(part["complete"] for part in parts)
    expected = parts[0]["expect_failure"] is None or bool(failures)
    return {
        **{key: value for key, value in parts[0].items() if key not in _OF_A_PART},
        "runs": sorted(runs.values(), key=lambda run: order[run["schedule"]]),
        "failures": failures,
        "not_applied": [
            fault for fault in parts[0]["not_applied"] if all(fault in part["not_applied"] for part in parts)
        ],
        "not_explored": list(dict.fromkeys(text for part in parts for text in part["not_explored"])),
        "complete": complete,
        "passed": complete and expected and all(part["passed"] for part in parts),
    }


def _failures(failures: Sequence[dict[str, Any]], order: dict[str, Any]) -> list[dict[str, Any]]:
    """Each way once, at its earliest schedule, with all the others at which it breaks."""
    found: dict[str, dict[str, Any]] = {}
    for failure in sorted(failures, key=lambda failure: order[failure["schedule"]]):
        first = found.setdefault(failure["way"], {**failure, "also_at": []})
        others = {failure["schedule"], *failure["also_at"], *first["also_at"]} - {first["schedule"]}
        first["also_at"] = sorted(others, key=lambda schedule: order[schedule])
    return list(found.values())
