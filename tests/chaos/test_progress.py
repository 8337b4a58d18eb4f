"""The line that shows how far a search is: below pytest's own, gone at the end, and only where somebody looks."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_agent.report.progress import Progress

SUITE = """
    import pytest, agents

    def test_before(): pass

    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_breaks(llm, sandbox):
        print("never seen")
        agents.run("refund", agents.stock(llm, sandbox), agents.careless, keys=False)

    def test_after(): pass
"""
UP_AND_BACK = r"\x1b\[1A\x1b\[(\d+)G"


@pytest.mark.parametrize("options", [[], ["-v"], ["-s"]])
def test_it_leaves_what_pytest_prints_as_it_was(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    project.makepyfile(test_a=SUITE)
    without = project.runpytest("--chaos", *options).stdout.str()
    monkeypatch.setenv("PYTEST_AGENT_PROGRESS", "1")
    text = project.runpytest("--chaos", *options).stdout.str()
    assert re.search(r"\x1b\[2Ktest_breaks  \d+ runs  \d+/s  sites \d/\d covered  \d+ failing  (single|pair)", text)
    shown = re.findall(rf"\n\x1b\[2K([^\n\x1b]*){UP_AND_BACK}", text)
    # The last one is empty: the line is gone before anything else is printed.
    assert [bool(line) for line, _ in shown] == [True] * (len(shown) - 1) + [False]
    assert not re.search("in [0-9.]+s", shown[0][0])
    rest = re.sub(rf"\n\x1b\[2K[^\n\x1b]*{UP_AND_BACK}", "", text)
    assert without_times(rest) == without_times(without)
    if not options:
        # The cursor is back behind the dot of the test before.
        assert {column for _, column in shown} == {str(len("test_a.py .") + 1)}


def without_times(text: str) -> list[str]:
    return [re.sub(r"in [0-9.]+s|=+", "", line) for line in text.splitlines() if "rootdir" not in line]


@pytest.mark.parametrize("wanted", [None, "0"])
def test_it_is_not_written_into_a_file(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, wanted: str | None
) -> None:
    monkeypatch.delenv("PYTEST_AGENT_PROGRESS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("PYTEST_AGENT_PROGRESS", wanted)
    project.makepyfile(test_a=SUITE)
    assert "\x1b" not in project.runpytest("--chaos").stdout.str()


class Terminal:
    """A terminal reporter of a given kind, and what is written to it."""

    def __init__(self, *, isatty: bool = True, verbosity: int = 0) -> None:
        self.isatty, self.verbosity = isatty, verbosity
        self.written: list[str] = []
        file = SimpleNamespace(write=self.written.append, flush=lambda: None)
        self._tw = SimpleNamespace(fullwidth=50, width_of_current_line=11, _file=file)

    def config(self, **more: Any) -> Any:
        return SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda name: self), **more)


def observed(*applied: str, failed: bool = False) -> Any:
    sites = tuple(SimpleNamespace(site=name) for name in ("llm#1", "llm#2", "tool:a#1"))
    return SimpleNamespace(verdict=SimpleNamespace(failed=failed), sites=sites, applied=frozenset(applied))


def shown_by(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[str]:
    monkeypatch.delenv("PYTEST_AGENT_PROGRESS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    # The search begins at 0 s, and a run ends every 0.06 s.
    times = iter([number * 0.06 for number in range(100)])
    with Progress(terminal.config(**more), "test_one", now=lambda: next(times)) as progress:
        for number in range(5):
            progress.on_run(observed(f"a@llm#{1 + number % 2}", failed=number > 2), "pairs")
    return [text.split("\x1b[2K")[1].split("\x1b")[0] for text in terminal.written]


def test_what_it_says_and_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_by(Terminal(), monkeypatch) == [
        "test_one  1 runs  17/s  sites 1/3 covered  0 fail",
        "test_one  3 runs  17/s  sites 2/3 covered  0 fail",
        "test_one  5 runs  17/s  sites 2/3 covered  2 fail",
        "",
    ]


@pytest.mark.parametrize(
    ("terminal", "more"),
    [(Terminal(isatty=False), {}), (Terminal(verbosity=-1), {}), (Terminal(), {"workerinput": {}})],
    ids=["no terminal", "quiet", "a worker"],
)
def test_where_nobody_looks_nothing_is_shown(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal, more: dict[str, Any]
) -> None:
    assert shown_by(terminal, monkeypatch, **more) == []
