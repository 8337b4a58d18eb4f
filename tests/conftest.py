"""What all tests share."""

from __future__ import annotations

import importlib
import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.run import Run

pytest_plugins = ["pytester"]

# A shell that starts us in the background has Ctrl-C ignored, and so would everything that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An inner session that runs in this process forgets every module it was the first to import. What they all need is
# imported here, once.
for _name in (
    "openai",
    "httpx2",
    "respx",
    "pytest_agent.adapters.agentfsm",
    "pytest_agent.chaos.protocol",
    "pytest_agent.report.failure",
    "pytest_agent.report.session",
    "pytest_agent.scenarios.collector",
    "agentfsm.agents.support_refund",
):
    importlib.import_module(_name)

AGENTS = Path(__file__).with_name("agents_under_test.py")


@pytest.fixture
def run_under(tmp_path: Path) -> Callable[..., Run]:
    """`run_under("reply-lost@tool:refund#1")`: a Run without the plugin around it; `with run.inside(): ...`."""

    def make(text: str = "") -> Run:
        schedule = Schedule.parse(text) if text else Schedule()
        return Run(
            "test",
            schedule=schedule,
            armed=load_catalogue().arm(schedule),
            seed=0,
            trace_file=None,
            ledger=tmp_path / "ledger.jsonl",
        )

    return make


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own, with `agents.py`, warnings as errors, and nothing remembered between sessions."""
    if Path("/dev/shm").is_dir():
        # Where a flush costs nothing, so that a busy disk does not make these tests slow.
        monkeypatch.setenv("TMPDIR", "/dev/shm")
        monkeypatch.setattr(tempfile, "tempdir", None)
    # There pytest writes whole messages into its short summary.
    monkeypatch.delenv("CI", raising=False)
    (pytester.path / "agents.py").write_text(AGENTS.read_text())
    pytester.makeini(
        """
        [pytest]
        filterwarnings = error
        addopts = -p no:cacheprovider -p no:randomly -p no:hypothesispytest --chaos-confirm 0
        asyncio_default_fixture_loop_scope = function
        """
    )
    return pytester


@pytest.fixture
def fresh(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run pytest in a process of its own, with our plugin and no other but those it is given: that starts faster."""

    def run(*args: str, plugins: tuple[str, ...] = ("pytest_agent.plugin",)) -> pytest.RunResult:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        chosen = [word for plugin in plugins for word in ("-p", plugin)]
        options = ["-c", "fresh.ini", "--rootdir", ".", "-p", "no:cacheprovider"]
        # What is found is confirmed in tests of its own: a fresh process for each failure takes its time.
        options += ["--chaos-confirm", "0"] if "pytest_agent.plugin" in plugins else []
        (project.path / "fresh.ini").write_text("[pytest]\nfilterwarnings = error\nmarkers = xdist_group\n")
        return project.runpytest_subprocess(*chosen, *options, *args)

    return run


def results_of(project: pytest.Pytester) -> dict[str, dict[str, Any]]:
    """`results.json` by the last part of the tests' ids."""
    data = json.loads((project.path / ".pytest_agent" / "results.json").read_text())
    return {result["test"].rpartition("::")[2]: result for result in data["tests"]}


@pytest.fixture
def results(project: pytest.Pytester) -> Callable[[], dict[str, dict[str, Any]]]:
    """Read what the last session of the project has found."""
    return lambda: results_of(project)
