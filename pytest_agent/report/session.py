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
from pytest_agent.report.matrix import render
from pytest_agent.report.replay import replay_line, seen_from, supervision_of

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
    for line in render(results, width):
        for text, word in line:
            terminal.write(text, **_COLOURS.get(word, {}))
        terminal.write_line("")
    for result in results:
        for failure in result["failures"]:
            terminal.write_line("")
            _failure(terminal, config, result, failure)
    terminal.write_line("")
    for result in results:
        terminal.write_line(_sentence(result))
    shown = bestrelpath(config.invocation_params.dir, folder.path)
    terminal.write_line(f"results: {shown}/results.json   traces: {shown}/traces/")


def _failure(
    terminal: pytest.TerminalReporter, config: pytest.Config, result: dict[str, Any], failure: dict[str, Any]
) -> None:
    terminal.write_line(f"BROKEN {result['test']}", bold=True)
    for violation in failure["violations"]:
        _wrapped(terminal, "  ", violation["text"], indent=4, red=True)
        for line in _few(violation["evidence"]):
            _wrapped(terminal, "      ", line, indent=10)
    _wrapped(terminal, "  fewest faults: ", "; ".join(failure["fewest"]))
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
    # Never wrapped by hand: it is to be pasted.
    test = seen_from(config.invocation_params.dir, config.rootpath, result["test"])
    options = config.getoption("inifilename")
    line = replay_line(
        test,
        failure["schedule"],
        seed=result["seed"],
        options=options,
        ids=failure["ids"],
        supervision=supervision_of(config),
    )
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
    text = ", ".join([text, *aside])
    if not runs:
        text = "no fault found a place to strike"
    if result["expect_failure"] is not None and result["complete"]:
        text = f"{text}, as expected: {result['expect_failure']}" if broken else "was expected to break and did not"
    return f"{result['test']}: {text}{'' if result['complete'] else ', and was interrupted'}"


def _version() -> str:
    try:
        return version("pytest-agent-harness")
    except PackageNotFoundError:
        return "not installed"
