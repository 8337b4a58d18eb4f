"""The end of a session: the results file, and the summary on the terminal."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import pytest

from pytest_agent.folder import known_folder
from pytest_agent.report.matrix import render

_COLOURS: dict[str, dict[str, bool]] = {
    "FAILED": {"red": True, "bold": True},
    "survived": {"green": True},
    "degraded": {"yellow": True},
    "not judged": {"yellow": True},
}


def finish(config: pytest.Config) -> None:
    """Gather what all tests and workers wrote. Workers leave it to their controller."""
    folder = known_folder(config)
    if folder is None or hasattr(config, "workerinput"):
        return
    facts = {
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pytest": pytest.__version__,
        "pytest_agent": version("pytest-agent-harness"),
        "argv": sys.argv[1:],
    }
    folder.write_results(folder.read_results(), facts)
    folder.release()


def summarize(terminal: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The matrix, each way in which a test breaks, and where the rest is."""
    folder = known_folder(config)
    results = folder.read_results() if folder is not None else []
    if folder is None or not results:
        return
    terminal.section("chaos")
    for line in render(results):
        for text, word in line:
            terminal.write(text, **_COLOURS.get(word, {}))
        terminal.write_line("")
    for result in results:
        if result["failures"]:
            _failures(terminal, result)
    terminal.write_line("")
    for result in results:
        terminal.write_line(_sentence(result))
    shown = folder.path.relative_to(config.rootpath) if folder.path.is_relative_to(config.rootpath) else folder.path
    terminal.write_line(f"results: {shown}/results.json   traces: {shown}/traces/")


def _failures(terminal: pytest.TerminalReporter, result: dict[str, Any]) -> None:
    for failure in result["failures"]:
        terminal.write_line("")
        terminal.write_line(f"BROKEN {result['test']}", bold=True)
        for violation in failure["violations"]:
            terminal.write_line(f"  {violation['text']}", red=True)
            for line in violation["evidence"]:
                terminal.write_line(f"      {line}")
        _labelled(terminal, "fewest faults", [failure["schedule"].replace("@", " at ", 1)])
        _labelled(terminal, "what it is", failure["titles"])
        _labelled(terminal, "correct", failure["correct"])
        _labelled(terminal, "incident", failure["incident"])
        terminal.write_line("  what happened:")
        for line in failure["timeline"]:
            terminal.write_line(f"    {line}")
        if failure["also_at"]:
            _labelled(terminal, "also breaks at", [f"{len(failure['also_at'])} more: {failure['also_at'][0]}, …"])
        terminal.write_line(f"  replay: {failure['replay']}", bold=True)


def _labelled(terminal: pytest.TerminalReporter, label: str, lines: Sequence[str]) -> None:
    for line in lines:
        terminal.write_line(f"  {label}: {line}")


def _sentence(result: dict[str, Any]) -> str:
    runs, broken = len(result["runs"]), sum(run["verdict"] == "FAILED" for run in result["runs"])
    if result["expect_failure"] is not None:
        expected = f"broke in {broken} of {runs} runs, as expected: {result['expect_failure']}"
        return f"{result['test']}: {expected if broken else 'was expected to break and did not'}"
    if broken:
        return f"{result['test']}: broke in {broken} of {runs} runs"
    return f"{result['test']}: held in all {runs} runs"
