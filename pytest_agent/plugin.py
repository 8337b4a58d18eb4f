"""The hooks and fixtures of pytest-agent.

Every pytest session on a machine loads this file, used or not. It imports nothing but pytest and the standard
library; what a test needs is imported when a test needs it.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_agent.adapters.runner import AgentRunner
    from pytest_agent.clock import Clock
    from pytest_agent.llm.model import ScriptedModel
    from pytest_agent.llm.server.server import LlmServer
    from pytest_agent.run import Run
    from pytest_agent.sandbox import Sandbox

_FIXTURES = ("clock", "llm", "llm_server", "run_agent", "sandbox")
_OURS = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are namespaced: other plugins own the short names."""
    group = parser.getgroup("agent", "LLM agents under faults")
    group.addoption("--chaos", action="store_true", help="run tests marked with chaos under the catalogue of faults")
    group.addoption("--chaos-replay", metavar="SCHEDULE", help="run the chosen chaos tests under this one schedule")
    group.addoption("--chaos-seed", type=int, default=0, metavar="N", help="seed of all randomness (default: 0)")
    group.addoption("--chaos-level", default="ci", metavar="LEVEL", help="smoke, ci or full: how far (default: ci)")
    group.addoption("--chaos-time", type=float, metavar="S", help="end the search of each test after S seconds")
    group.addoption("--chaos-runs", type=int, metavar="N", help="end the search of each test after N runs")
    group.addoption("--chaos-shard", metavar="K/N", help="do the Kth of N parts of each search, such as 2/8")
    group.addoption("--chaos-confirm", type=int, default=3, metavar="N", help="replays of a failure in a fresh process")
    group.addoption("--chaos-supervised", action="store_true", help="run each schedule in a process that may die")
    group.addoption("--chaos-memory", type=int, metavar="MB", help="what such a process may add (default: 1024)")
    group.addoption("--chaos-hang", type=float, metavar="S", help="real seconds for one run there (default: 60)")
    group.addoption("--chaos-save", metavar="FOLDER", help="write each failing schedule there, as a scenario")
    group.addoption("--chaos-accept", metavar="REASON", help="add the failures to the file of known ones")
    group.addoption("--chaos-answers", metavar="FOLDER", help=argparse.SUPPRESS)  # to the process that asks
    parser.addini("agent_known_failures", default="known_failures.yaml", help="the file of known failures")
    parser.addini("agent_scenarios", type="paths", default=[], help="folders whose YAML files are scenarios")


def pytest_configure(config: pytest.Config) -> None:
    """The mark is known; a replay line that cannot be read is refused before any test runs."""
    config.addinivalue_line(
        "markers",
        "chaos(faults='*', must_recover=False, expect_failure=None, supervised=False): with --chaos, run under every "
        "fault of the catalogue that fits, at every site; what the test asserts must hold under each",
    )
    if config.getoption("chaos_replay") is not None:
        from pytest_agent.chaos.protocol import replay_option

        replay_option(config)
    if (
        config.getoption("chaos")
        or config.getoption("chaos_supervised")
        or config.getoption("chaos_accept") is not None
    ):
        from pytest_agent.chaos.options import check_options

        check_options(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: the workers know their session, so that they write into one folder. It is made when a test needs it."""
    from pytest_agent.folder import WORKER_INPUT, session_id

    node.workerinput[WORKER_INPUT] = session_id(node.config)
    if node.config.getoption("chaos"):
        from pytest_agent.chaos.spread import tell_worker

        tell_worker(node.config, node.workerinput)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """YAML files of the configured folders, and of no other."""
    if file_path.suffix != ".yaml" or not any(
        file_path.is_relative_to(folder) for folder in parent.config.getini("agent_scenarios")
    ):
        return None
    from pytest_agent.scenarios.collector import ScenarioFile

    return ScenarioFile.from_parent(parent, path=file_path)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """A mark that cannot be read stops the session, as a misspelt option would. What is left over is divided."""
    marked = [item for item in items if _ours(item) and item.get_closest_marker("chaos")]
    if marked:
        from pytest_agent.chaos.mark import check_marks

        check_marks(config, marked, items)
    if not marked or not config.getoption("chaos") or config.getoption("chaos_replay") is not None:
        return (yield)
    from pytest_agent.chaos.known_here import check_known
    from pytest_agent.chaos.spread import spread

    check_known(config, marked, items)
    result = yield
    spread(config, set(marked), items)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """With --chaos or --chaos-replay, or as a scenario says, a chaos test is run many times; others as always."""
    asked = item.config.getoption("chaos") or item.config.getoption("chaos_replay") is not None
    if not (asked or _is_under(item)) or item.get_closest_marker("chaos") is None or not _ours(item):
        return None
    from pytest_agent.chaos.mark import usable_mark
    from pytest_agent.chaos.protocol import run_protocol

    run_protocol(item, nextitem, usable_mark(item))
    return True


def _is_under(item: pytest.Item) -> bool:
    """Whether a scenario has this test run under a schedule of its own."""
    under = sys.modules.get("pytest_agent.chaos.under")
    return under is not None and under.under_of(item) is not None


def _ours(item: pytest.Item) -> bool:
    """Whether the test uses a fixture of ours: one that a suite calls `clock` or `llm` itself does not make it so.

    A fixture that overrides one of ours, and asks for it in turn, uses it.
    """
    known = item.stash.get(_OURS, None)
    if known is None:
        definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        known = item.stash[_OURS] = any(_reaches_ours(name, definitions.get(name, ())) for name in _FIXTURES)
    return known


def _reaches_ours(name: str, definitions: Sequence[pytest.FixtureDef[Any]]) -> bool:
    for definition in reversed(definitions):
        if definition.func.__module__ == __name__:
            return True
        if name not in definition.argnames:
            return False
    return False


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """The world is there before the first fixture is made."""
    if not _ours(item):
        return (yield)
    from pytest_agent.chaos import phases

    with phases.setup(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """The test runs in the world, and is judged."""
    if not _ours(item):
        return (yield)
    from pytest_agent.chaos import phases

    with phases.call(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fixtures are undone in the world in which they were made."""
    if not _ours(item):
        return (yield)
    from pytest_agent.chaos import phases

    with phases.teardown(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Coroutine tests with our fixtures need no async plugin; where one claims the test it runs it."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or not _ours(pyfuncitem):
        return None
    from pytest_agent.asynchronous import run_coroutine_test

    return run_coroutine_test(pyfuncitem)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A violated invariant is told in its own words, without a traceback through our inside."""
    report = yield
    if _ours(item):
        from pytest_agent.report.failure import shape_report

        shape_report(item, call, report)
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """xdist: the controller holds the folder as soon as it hears of a worker that uses one."""
    if getattr(report, "uses_pytest_agent", False) and hasattr(report, "node"):
        from pytest_agent.folder import folder_of

        folder_of(report.node.config)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The results of all tests and workers, in one canonical file."""
    if "pytest_agent.folder" in sys.modules:
        from pytest_agent.report.session import finish

        finish(session.config)
    if session.config.getoption("chaos_accept") is not None:
        from pytest_agent.chaos.known_here import accept_at_the_end

        accept_at_the_end(session)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The matrix, and each way in which something broke."""
    if "pytest_agent.folder" in sys.modules:
        from pytest_agent.report.session import summarize

        summarize(terminalreporter, config)


@pytest.fixture
def clock() -> Clock:
    """The virtual clock of this test: sleeping costs nothing, and `clock.advance(s)` moves time by hand."""
    return _run().clock


@pytest.fixture
def llm() -> ScriptedModel:
    """The model that every client in this process talks to: `llm.says(call("lookup", id=7), "Done.")`."""
    return _run().llm


@pytest.fixture
def llm_server() -> Iterator[LlmServer]:
    """The same model behind a socket on loopback, for subprocesses and other languages: `llm_server.environment()`."""
    with _run().llm_server() as server:
        yield server


@pytest.fixture
def sandbox() -> Sandbox:
    """Tools with a ledger of what they changed: `@sandbox.tool("payments.refund", effect=True)`."""
    return _run().sandbox


@pytest.fixture
def run_agent() -> AgentRunner:
    """Call the agent through this where it can be restarted, or says itself how it ended."""
    from pytest_agent.adapters.runner import AgentRunner

    run = _run()
    return AgentRunner(run.seams, run)


def _run() -> Run:
    from pytest_agent.chaos.world import run_that_is_on

    return run_that_is_on()
