"""One session of pytest with one test that nobody wrote: the agent, called with its task."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pytest_agent import plugin
from pytest_agent.chaos.world import run_that_is_on
from pytest_agent.report.replay import COMMAND
from pytest_agent.trace import ToolCalled
from pytest_agent.trial.found import Found
from pytest_agent.trial.model import trial_model
from pytest_agent.trial.stubs import Memory, StubTools
from pytest_agent.trial.terminal import QuietReporter

# No file of the project configures this session, and no plugin but ours is in it: only the agent is.
_ALONE = (*("-c", os.devnull, "--noconftest", "-p", "no:cacheprovider", "-p", "no:warnings", "--tb=short", "-rN"),)


@dataclass(slots=True)
class Trial:
    """The plugin of one session. Afterwards `struck` says whether there was anything that a fault could have struck."""

    found: Found
    task: str
    faults: Sequence[str]
    seed: int
    memory: Memory = field(default_factory=Memory)
    struck: bool = False
    reporter: QuietReporter | None = None

    def run(self, options: Sequence[str]) -> int:
        """The exit code of pytest."""
        with ExitStack() as undo:
            undo.enter_context(mock.patch.dict(os.environ, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}))
            for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
                os.environ.pop(name, None)
            return int(pytest.main([*_ALONE, "--rootdir", str(Path.cwd()), *options], plugins=[plugin, self]))

    @property
    def unexplained(self) -> pytest.TestReport | None:
        """A failure that no fault of the search explains."""
        return None if self.reporter is None else self.reporter.failed

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Replay lines are of this command, and what pytest says by itself of one test is not said."""
        config.stash[COMMAND] = ("pytest-agent", "try", self.found.name, self.task)
        outer = config.pluginmanager.get_plugin("terminalreporter")
        config.pluginmanager.unregister(outer)
        self.reporter = QuietReporter(config, self.memory)
        config.pluginmanager.register(self.reporter, "terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """The one test."""
        item = _Item.from_parent(session, name=self.found.name, callobj=self._test)
        item.add_marker(pytest.mark.chaos(faults=list(self.faults)))
        session.items, session.testscollected = [item], 1
        session.config.hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        return True

    def _test(self, llm: Any, sandbox: Any, run_agent: Any) -> None:
        __tracebackhide__ = True
        clean = not run_that_is_on().schedule.faults
        tools = StubTools(sandbox, self.memory, clean=clean, seed=self.seed)
        llm.answers_with(trial_model(tools, run_agent.trace, self.seed))
        try:
            result = run_agent(self.found.agent, self.task, *([tools] if self.found.takes_tools else []))
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))
        finally:
            trace = run_agent.trace
            self.struck = self.struck or llm.calls > 0 or any(True for _ in trace.of(ToolCalled))


async def _awaited(result: Awaitable[Any]) -> Any:
    __tracebackhide__ = True
    return await result


class _Item(pytest.Function):
    """A test that stands in no file: its id is the name of the agent."""

    @property
    def nodeid(self) -> str:
        """The name."""
        return self.name

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The agent."""
        return self.path, None, self.name
