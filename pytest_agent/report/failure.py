"""How a failing test of ours looks in pytest's own report."""

from __future__ import annotations

import pytest
from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter

from pytest_agent.chaos.mark import usable_mark
from pytest_agent.errors import PytestAgentError


class PlainFailure(TerminalRepr):
    """A text in the place of a traceback, with what pytest's short summary asks for."""

    def __init__(self, text: str, location: tuple[str, int | None, str]) -> None:
        path, line, _ = location
        self.text = text
        self.reprcrash = ReprFileLocation(path, (line or 0) + 1, text)

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: TerminalWriter) -> None:
        """Print the text, the first line as an error."""
        first, _, rest = self.text.partition("\n")
        tw.line(first, red=True, bold=True)
        if rest:
            tw.line(rest)


def shape_report(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Our own errors speak for themselves; a test that is expected to break is an expected failure when it does."""
    error = call.excinfo.value if call.excinfo is not None else None
    if report.outcome != "failed" or call.when != "call":
        return
    if isinstance(error, PytestAgentError):
        report.longrepr = PlainFailure(str(error), item.location)
    if not item.config.getoption("chaos"):
        return
    from pytest_agent.chaos.phases import InvariantViolated

    reason = usable_mark(item).expect_failure
    if reason is not None and (isinstance(error, InvariantViolated) or getattr(error, "__notes__", None)):
        report.outcome = "skipped"
        report.wasxfail = f"reason: {reason}"
