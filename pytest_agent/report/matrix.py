"""The matrix: for each fault and each test, what became of the runs; those under several faults have one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_ORDER = ("FAILED", "not judged", "degraded", "survived", "not applied")


@dataclass(frozen=True, slots=True)
class Cell:
    """The worst word over the runs of one fault on one test, and how many runs it stands for."""

    word: str
    text: str


_NOTHING = Cell("", "-")
_SEVERAL = "several at once"


def matrix(results: Sequence[dict[str, Any]]) -> tuple[list[str], dict[str, list[Cell]]]:
    """The column heads, one a test, and for each fault its row of cells. Faults in alphabetical order, several last."""
    heads = _short_names([str(result["test"]) for result in results])
    named = {fault for result in results for fault in _faults(result)}
    faults = sorted(named, key=lambda fault: (fault == _SEVERAL, fault))
    return heads, {fault: [_cell(result, fault) for result in results] for fault in faults}


def render(results: Sequence[dict[str, Any]], width: int = 80) -> list[list[tuple[str, str]]]:
    """The matrix as lines of (text, word) pieces; the word says how to colour a piece.

    As many tests stand side by side as fit into `width`; the others follow in tables of their own.
    """
    heads, rows = matrix(results)
    first = max((len(fault) for fault in rows), default=0)
    room = max(width - first - 2, 20)
    heads = [head if len(head) <= room else f"{head[: room - 1]}…" for head in heads]
    widths = [max([len(head), *(len(row[index].text) for row in rows.values())]) for index, head in enumerate(heads)]
    lines: list[list[tuple[str, str]]] = []
    for group in _groups(widths, width - first):
        if lines:
            lines.append([])
        lines.append(_line("", [(heads[index], "", widths[index]) for index in group], first))
        lines += [
            _line(fault, [(row[index].text, row[index].word, widths[index]) for index in group], first)
            for fault, row in rows.items()
            if any(row[index] != _NOTHING for index in group)
        ]
    return lines


def _groups(widths: Sequence[int], room: int) -> list[list[int]]:
    groups: list[list[int]] = []
    used = 0
    for index, width in enumerate(widths):
        if not groups or used + width + 2 > room:
            groups.append([])
            used = 0
        groups[-1].append(index)
        used += width + 2
    return groups


def _line(label: str, cells: Sequence[tuple[str, str, int]], first: int) -> list[tuple[str, str]]:
    padded = [(f"{label:<{first}}", "")]
    for text, word, width in cells:
        padded += [("  ", ""), (text, word), (" " * (width - len(text)), "")]
    while padded and not padded[-1][0].strip():
        padded.pop()
    return padded


def _faults(result: dict[str, Any]) -> list[str]:
    return [_row(run) for run in result["runs"]] + list(result["not_applied"])


def _row(run: dict[str, Any]) -> str:
    return run["faults"][0] if len(run["faults"]) == 1 else _SEVERAL


def _cell(result: dict[str, Any], fault: str) -> Cell:
    runs = [run for run in result["runs"] if _row(run) == fault]
    if not runs:
        # Not among the faults this test asks for, or its search did not come so far: nothing can be said.
        return Cell("not applied", "not applied") if fault in result["not_applied"] else _NOTHING
    counts = Counter(str(run["verdict"]) for run in runs)
    worst = next(word for word in _ORDER if counts[word])
    text = f"{worst} {counts[worst]}/{len(runs)}"
    if worst == "FAILED":
        ids = sorted({str(item["id"]) for run in runs for item in run["violations"]}, key=_by_number)
        text = f"FAILED {' '.join(ids)} {counts[worst]}/{len(runs)}"
    return Cell(worst, text)


def _by_number(id_: str) -> tuple[int, str]:
    digits = id_.removeprefix("I")
    return (int(digits), "") if digits.isdigit() else (1000, id_)


def _short_names(tests: Sequence[str]) -> list[str]:
    """The last part of each id, without `test_`; the whole id where that is not enough."""
    short = [test.rpartition("::")[2].removeprefix("test_") for test in tests]
    return [name if short.count(name) == 1 else test for name, test in zip(short, tests, strict=True)]
