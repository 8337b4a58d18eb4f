"""Scenario files as pytest tests. One file is one test, with the fixtures and the mark a function would have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr

from pytest_agent.chaos.under import run_under
from pytest_agent.errors import UsageError
from pytest_agent.report.plain import PlainFailure
from pytest_agent.scenarios.check import find_build, scenario_of
from pytest_agent.scenarios.runner import run_scenario
from pytest_agent.scenarios.saved import SavedTest, find_test, read_under
from pytest_agent.yaml_file import read_yaml


class ScenarioFile(pytest.Module):
    """A YAML file of a configured folder."""

    def _getobj(self) -> Any:
        # pytest.Module would import the file; a scenario is data.
        return _Nothing()

    def collect(self) -> Iterator[pytest.Function]:
        """The one test of the file, or the one that it names.

        Raises UsageError for a file that is no scenario: an error of collection.
        """
        file = read_yaml(self.path, _shown(self.path, self.config.rootpath))
        if "test" in file.data:
            saved = file.validate(SavedTest)
            under = read_under(file, saved.under)
            found = find_test(file, saved, self)
            run_under(found, under)
            yield found
            return
        scenario = scenario_of(file)
        build = find_build(file, scenario)

        async def test(llm: Any, sandbox: Any, run_agent: Any) -> None:
            await run_scenario(scenario, file, build, llm, sandbox, run_agent)

        item = ScenarioItem.from_parent(self, name=self.path.stem, callobj=test)
        item.add_marker(pytest.mark.chaos(faults=scenario.faults, must_recover=scenario.must_recover))
        if scenario.under is not None:
            run_under(item, read_under(file, scenario.under))
        yield item

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str | TerminalRepr:
        """What is wrong with the file, and not where we found out."""
        del style
        if isinstance(excinfo.value, UsageError):
            return PlainFailure(str(excinfo.value), (_shown(self.path, self.config.rootpath), 0, self.name))
        return super().repr_failure(excinfo)


class ScenarioItem(pytest.Function):
    """The test of a scenario file: a coroutine like any other, that stands in the file."""

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """The scenario, and not the line of our own that runs it."""
        return self.path, 0, self.name


class _Nothing:
    """A module without contents, for pytest's own look-ups."""

    __name__ = "scenario"
    __test__ = True


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
