"""How far a search is, on one line of a terminal that is written anew in its place.

The line stands below the one on which pytest prints its dots, and the cursor goes back to where it was each time. So
whoever prints next goes on as if there were nothing; colours and dots stay. Nothing is printed where nobody looks: into
a file, with `-q`, in a worker of xdist.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from pytest_agent.chaos.search.observed import Observed
    from pytest_agent.chaos.sites import SeenSite

SHOW = "PYTEST_AGENT_PROGRESS"
"""In the environment: 1 shows it also where there is no terminal, 0 nowhere."""
_EVERY_S = 0.1


class Progress:
    """The line of one search; a context manager, after which it is gone. `sites` are those of the clean run.

    `now` gives real seconds.
    """

    def __init__(
        self,
        config: pytest.Config,
        name: str,
        sites: Sequence[SeenSite] = (),
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._terminal = _terminal(config)
        self._name = name
        self._now = now
        self._sites = {str(seen.site) for seen in sites}
        self._struck: set[str] = set()
        self._runs = 0
        self._failing = 0
        self._shown = False
        self._began = now()
        self._next = self._began

    def on_run(self, observed: Observed, phase: str) -> None:
        """Count a run of this phase of the search."""
        if self._terminal is None:
            return
        self._runs += 1
        self._failing += observed.verdict.failed
        self._sites.update(str(seen.site) for seen in observed.sites)
        self._struck.update(applied.partition("@")[2] for applied in observed.applied)
        now = self._now()
        if now >= self._next:
            self._next = now + _EVERY_S
            self._show(self.line(phase, now))

    def line(self, phase: str, now: float) -> str:
        """What is shown: `test_refund  1240 runs  118/s  sites 34/41 covered  3 failing  pairs`."""
        rate = self._runs / max(now - self._began, 0.001)
        covered = len(self._sites & self._struck)
        return (
            f"{self._name}  {self._runs} runs  {rate:.0f}/s  sites {covered}/{len(self._sites)} covered  "
            f"{self._failing} failing  {phase}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._shown:
            self._show("")
            self._shown = False

    def _show(self, text: str) -> None:
        if self._terminal is None:
            return
        writer = self._terminal._tw
        text = text[: writer.fullwidth - 1]
        # A line down, written anew, a line up, and back to the column. Not by `writer`: it would count the letters.
        writer._file.write(f"\n\x1b[2K{text}\x1b[1A\x1b[{writer.width_of_current_line + 1}G")
        writer._file.flush()
        self._shown = True


def _terminal(config: pytest.Config) -> pytest.TerminalReporter | None:
    """Where to show it, None for nowhere."""
    terminal: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(config, "workerinput"):
        return None
    wanted = os.environ.get(SHOW)
    if wanted is None:
        wanted = "1" if terminal.isatty and terminal.verbosity >= 0 and os.environ.get("TERM") != "dumb" else "0"
    return terminal if wanted == "1" else None
