"""What is printed of a trial: the summary of the search, and what went wrong where that does not say it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

from pytest_agent.chaos.phases import InvariantViolated
from pytest_agent.trial.stubs import Memory


class QuietReporter:
    """pytest's own to all who write with it, without what that says of a session of many tests."""

    def __init__(self, config: pytest.Config, memory: Memory) -> None:
        self._inner = TerminalReporter(config)
        self._memory = memory
        self.failed: pytest.TestReport | None = None
        """The test's failure, if it is none that the search found and tells itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Remember what nobody else tells."""
        report = yield
        told = call.excinfo is not None and isinstance(call.excinfo.value, InvariantViolated)
        if report.failed and not told and not hasattr(report, "wasxfail"):
            self.failed = report
        return report

    def pytest_internalerror(self, excrepr: object) -> bool:
        """An error of our own, or of pytest."""
        return self._inner.pytest_internalerror(excrepr)  # type: ignore[arg-type]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """When the results are written, they are told."""
        if self._memory.known:
            words = [f"{name} {'changes the world' if changes else 'reads'}" for name, changes in self._tools()]
            self._inner.write_line(f"stand-ins for its tools, by their names: {', '.join(words)}")
        if self.failed is not None:
            # Not by the summary: the search has nothing to say of it.
            self.failed.toterminal(self._inner._tw)
            for title, content in self.failed.sections:
                self._inner.section(title)
                self._inner.write_line(content.rstrip())
        session.config.hook.pytest_terminal_summary(
            terminalreporter=self._inner, exitstatus=exitstatus, config=session.config
        )

    def _tools(self) -> list[tuple[str, bool]]:
        return sorted(self._memory.known.items())
