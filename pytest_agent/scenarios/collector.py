"""Scenario files as pytest tests. One file is one test, with the fixtures and the mark a function would have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_agent.errors import UsageError
from pytest_agent.scenarios.model import Scenario
from pytest_agent.scenarios.runner import run_scenario
from pytest_agent.yaml_file import read_yaml


class ScenarioFile(pytest.Module):
    """A YAML file of a configured folder."""

    def _getobj(self) -> Any:
        # pytest.Module would import the file; a scenario is data.
        return _Nothing()

    def collect(self) -> Iterator[pytest.Function]:
        """The one test of the file. Raises pytest.UsageError, exit code 2, for a file that is no scenario."""
        try:
            shown = self.path.relative_to(self.config.rootpath).as_posix()
        except ValueError:
            shown = str(self.path)
        try:
            file = read_yaml(self.path, shown)
            scenario = file.validate(Scenario)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

        async def test(llm: Any, sandbox: Any, run_agent: Any) -> None:
            await run_scenario(scenario, file, llm, sandbox, run_agent)

        item = pytest.Function.from_parent(self, name=self.path.stem, callobj=test)
        item.add_marker(pytest.mark.chaos(faults=scenario.faults, must_recover=scenario.must_recover))
        yield item


class _Nothing:
    """A module without contents, for pytest's own look-ups."""

    __name__ = "scenario"
    __test__ = True
