"""The end of a session: the results file, and the summary on the terminal."""

from __future__ import annotations

import platform
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest
from _pytest.pathlib import bestrelpath

from pytest_agent.folder import explores, known_folder
from pytest_agent.report.fewest import fewest, not_explored
from pytest_agent.report.matrix import render
from pytest_agent.report.replay import Begun, replay_line, seen_from

NOTES = pytest.StashKey[list[str]]()
"""Lines to tell at the end, by whoever changed something at the end of the session."""

_TIME = len(f"{0:8.2f} s  ")

_COLOURS: dict[str, dict[str, bool]] = {
    "FAILED": {"red": True, "bold": True},
    "survived": {"green": True},
    "degraded": {"yellow": True},
    "not judged": {"yellow": True},
}


def finish(config: pytest.Config) -> None:
    """Gather what all tests and workers wrote. Workers leave it to their controller."""
    folder = known_folder(config)
    if folder is None or not explores(config) or hasattr(config, "workerinput"):
        return
    facts = {
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pytest": pytest.__version__,
        "pytest_agent": _version(),
        "argv": list(config.invocation_params.args),
    }
    folder.write_results(folder.read_results(), facts)


def summarize(terminal: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The matrix, each way in which a test breaks, and where the rest is. Nothing with `-qq`."""
    folder = known_folder(config)
    if folder is None or not explores(config) or terminal.verbosity < -1:
        return
    results = folder.read_results()
    if not results:
        return
    width = terminal._tw.fullwidth
    terminal.section("chaos")
    for row in render(results, width):
        for text, word in row:
            terminal.write(text, **_COLOURS.get(word, {}))
        terminal.write_line("")
    shown = bestrelpath(config.invocation_params.dir, folder.path)
    for result in results:
        for failure in result["failures"]:
            if failure["known"] is None:
                terminal.write_line("")
                _failure(terminal, config, result, failure, shown)
    terminal.write_line("")
    for result in results:
        terminal.write_line(_sentence(result))
        for text in _aside(result):
            _wrapped(terminal, "  ", text, indent=4)
    for note in config.stash.get(NOTES, []):
        terminal.write_line(note)
    terminal.write_line(f"results: {shown}/results.json   traces: {shown}/traces/")


def _failure(
    terminal: pytest.TerminalReporter,
    config: pytest.Config,
    result: dict[str, Any],
    failure: dict[str, Any],
    folder: str,
) -> None:
    terminal.write_line(f"BROKEN {result['test']}", bold=True)
    for violation in failure["violations"]:
        _wrapped(terminal, "  ", violation["text"], indent=4, red=True)
        for line in _few(violation["evidence"]):
            _wrapped(terminal, "      ", line, indent=10)
    _wrapped(terminal, "  fewest faults: ", fewest(failure))
    for label, lines in (
        ("what it is", failure["titles"]),
        ("correct", failure["correct"]),
        ("incident", failure["incident"]),
    ):
        for line in lines:
            _wrapped(terminal, f"  {label}: ", line)
    terminal.write_line("  what happened:")
    for line in failure["timeline"]:
        # The time stands in a column of its own.
        _wrapped(terminal, f"    {line[:_TIME]}", line[_TIME:])
    if failure["also_at"]:
        _wrapped(terminal, "  also breaks at: ", _some(failure["also_at"]))
    if failure["confirmed"] is not None:
        _wrapped(terminal, "  confirmed: ", failure["confirmed"]["said"])
    # Never wrapped by hand: they are to be pasted.
    terminal.write_line(f"  trace: {folder}/{failure['trace']}")
    test = seen_from(config.invocation_params.dir, config.rootpath, result["test"])
    line = replay_line(test, failure["schedule"], Begun.of(config), ids=failure["ids"])
    terminal.write_line(f"  replay: {line}", bold=True)


def _wrapped(
    terminal: pytest.TerminalReporter, label: str, text: str, indent: int | None = None, **markup: bool
) -> None:
    """A label and a text that is broken at blanks only, under itself or as far in as is asked for."""
    width = max(terminal._tw.fullwidth - 1, 40)
    under = " " * (len(label) if indent is None else indent)
    for number, line in enumerate(text.splitlines() or [""]):
        lines = textwrap.wrap(
            line,
            width,
            initial_indent=under if number else label,
            subsequent_indent=under,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for part in lines or [label.rstrip()]:
            terminal.write_line(part, **markup)


def _few(lines: Sequence[str]) -> list[str]:
    return [*lines] if len(lines) <= 8 else [*lines[:5], f"… {len(lines) - 7} more …", *lines[-2:]]


def _some(schedules: Sequence[str]) -> str:
    shown = ", ".join(schedules[:3])
    return f"{shown}, and {len(schedules) - 3} more" if len(schedules) > 3 else shown


def _sentence(result: dict[str, Any]) -> str:
    runs = len(result["runs"])
    words = Counter(run["verdict"] for run in result["runs"])
    broken = words["FAILED"]
    aside = [f"{words[word]} {word}" for word in ("not judged", "not applied") if words[word]]
    held = runs - words["not judged"] - words["not applied"]
    text = f"broke in {broken} of {runs} runs" if broken else f"held in {f'{held} of' if aside else 'all'} {runs} runs"
    text = ", ".join([text + _how_many_faults(result), *aside])
    known = [failure["known"] is not None for failure in result["failures"]]
    if not runs:
        text = "no fault found a place to strike"
    if result["expect_failure"] is not None and result["complete"] and result["shard"] is None:
        text = f"{text}, as expected: {result['expect_failure']}" if broken else "was expected to break and did not"
    elif broken and all(known):
        text += ", as is known"
    part = f" (part {result['shard']} of the search)" if result["shard"] is not None else ""
    return f"{result['test']}{part}: {text}{'' if result['complete'] else ', and was interrupted'}"


def _how_many_faults(result: dict[str, Any]) -> str:
    """How many runs had one fault, two and more; nothing where all had one."""
    numbers = Counter(min(len(run["faults"]), 3) for run in result["runs"])
    if set(numbers) <= {1}:
        return ""
    names = {1: "of one fault", 2: "of two", 3: "of more"}
    return f" ({', '.join(f'{numbers[number]} {name}' for number, name in names.items() if numbers[number])})"


def _aside(result: dict[str, Any]) -> list[str]:
    """What is known, and what is to be changed in the file that says so; what the search has not seen; doubts."""
    lines = [
        entry["edit"] or f"known: {entry['schedule']} ({entry['reason']}, until {entry['expires']})"
        for entry in result["known"]
    ]
    missing = not_explored(result["coverage"]) if result["coverage"] is not None else ""
    if missing:
        ended = {"time": "the time was over", "runs": "the runs were used up"}.get(result["cut"])
        lines.append(f"not explored: {missing}{f'; {ended}' if ended else ''}")
    if result["not_deterministic"] is not None:
        lines.append(f"not deterministic: two runs without faults differ: {result['not_deterministic']}")
    return lines


def _version() -> str:
    try:
        return version("pytest-agent-harness")
    except PackageNotFoundError:
        return "not installed"
