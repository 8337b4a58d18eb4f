"""How a failing test of ours looks in pytest's own report."""

from __future__ import annotations

import pytest

from pytest_agent.chaos.state import known_state
from pytest_agent.errors import PytestAgentError
from pytest_agent.report.plain import PlainFailure


def shape_report(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Our own errors speak for themselves; a test that is expected to break is an expected failure when it does."""
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, PytestAgentError):
        report.longrepr = PlainFailure(str(error), item.location)
    state = known_state(item)
    if state is None:
        return
    if hasattr(item.config, "workerinput"):
        vars(report)["uses_pytest_agent"] = True
    if state.probing:
        # Whoever looks into failures as they happen, such as --pdb, has no business in a probe.
        report.wasxfail = "a probe"
        return
    if call.when == "call":
        report.duration += state.explored_s
    if report.outcome != "failed" or error is None:
        return
    if call.when != "call" and state.told:
        # A fixture of the test that breaks under the fault: its own traceback, and what it was run under.
        report.sections.append(("under the fault", state.told))
    if state.expected is not None and (state.broken or (call.when != "call" and state.told)):
        report.outcome = "skipped"
        report.wasxfail = f"reason: {state.expected}"
