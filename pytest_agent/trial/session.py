"""One session of pytest with one test that nobody wrote: the agent, called with its task."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.world import run_that_is_on
from pytest_agent.errors import UsageError
from pytest_agent.report.replay import COMMAND
from pytest_agent.trace import ToolCalled
from pytest_agent.trial.found import Found, find_agent
from pytest_agent.trial.model import trial_model
from pytest_agent.trial.stubs import Memory, StubTools
from pytest_agent.trial.terminal import QuietReporter


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be tried: the name of an agent, its task, globs of faults, and the seed."""

    agent: str
    task: str
    faults: tuple[str, ...] = ("*",)
    seed: int = 0

    @classmethod
    def from_text(cls, text: str) -> Wish:
        """As `to_text` wrote it. Raises pytest.UsageError for anything else."""
        try:
            data = json.loads(text)
            return cls(data["agent"], data["task"], tuple(data["faults"]), data["seed"])
        except (ValueError, LookupError, TypeError):
            raise pytest.UsageError("this plugin belongs to the command `pytest-agent try`; use that") from None

    def to_text(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Trial:
    """The hooks of one session. Afterwards `struck` says whether there was anything that a fault could have struck."""

    wish: Wish
    found: Found
    memory: Memory = field(default_factory=Memory)
    struck: bool = False
    reporter: QuietReporter | None = None

    @classmethod
    def of(cls, wish: Wish) -> Trial:
        """For the agent of the wish, in this process. Raises pytest.UsageError where it is not there."""
        try:
            return cls(wish, find_agent(wish.agent))
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    @property
    def unexplained(self) -> pytest.TestReport | None:
        """A failure that no fault of the search explains."""
        return None if self.reporter is None else self.reporter.failed

    def pytest_configure(self, config: pytest.Config) -> None:
        """Replay lines are of this command, and what pytest says by itself of one test is not said."""
        config.stash[COMMAND] = ("pytest-agent", "try", self.found.name, self.wish.task)
        outer = config.pluginmanager.get_plugin("terminalreporter")
        config.pluginmanager.unregister(outer)
        self.reporter = QuietReporter(config, self.memory)
        config.pluginmanager.register(self.reporter, "terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """The one test."""
        item = _Item.from_parent(session, name=self.found.name, callobj=self._test)
        item.add_marker(pytest.mark.chaos(faults=list(self.wish.faults)))
        session.items, session.testscollected = [item], 1
        session.config.hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        return True

    def _test(self, llm: Any, sandbox: Any, run_agent: Any) -> None:
        __tracebackhide__ = True
        clean = not run_that_is_on().schedule.faults
        tools = StubTools(sandbox, self.memory, clean=clean, seed=self.wish.seed)
        llm.answers_with(trial_model(tools, run_agent.trace, self.wish.seed))
        try:
            result = run_agent(self.found.agent, self.wish.task, *([tools] if self.found.takes_tools else []))
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
