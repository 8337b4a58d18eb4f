"""Read a scenario file and say what is wrong with it, before anything runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.outcome import OUTCOMES
from pytest_agent.scenarios.model import Scenario, TaskPart
from pytest_agent.yaml_file import Place, YamlFile, read_yaml


def read_scenario(path: Path, shown: str) -> tuple[YamlFile, Scenario]:
    """The file and what it says. Raises UsageError with file, line and the edit to make."""
    file = read_yaml(path, shown)
    return file, scenario_of(file)


def scenario_of(file: YamlFile) -> Scenario:
    """What a file says. Raises UsageError with file, line and the edit to make."""
    scenario = file.validate(Scenario)
    ids: set[str] = set()
    for place, task in scenario.tasks():
        _check_task(file, scenario, place, task)
        if task.id in ids:
            raise file.error((*place, "id"), f"a task before has the id {task.id!r} already; give this one another")
        ids.add(task.id)
    catalogue = load_catalogue()
    for index, pattern in enumerate(scenario.faults):
        try:
            catalogue.select(pattern)
        except UsageError as error:
            raise file.error(("faults", index), str(error)) from None
    return scenario


def find_build(file: YamlFile, scenario: Scenario) -> Callable[..., Any]:
    """The `build` of the scenario's agent. Raises UsageError where it cannot be imported or has none."""
    try:
        module = importlib.import_module(scenario.agent)
    except Exception as error:  # noqa: BLE001 - whatever a module does when it is imported
        problem = f"{type(error).__name__}: {error}"
        raise file.error(
            ("agent",),
            f"{scenario.agent!r} cannot be imported ({problem}); "
            "name a module as in an import statement, such as agentfsm.agents.support_refund",
        ) from None
    build = getattr(module, "build", None)
    if not callable(build):
        raise file.error(
            ("agent",), f"{scenario.agent!r} has no function build(store=, model=, tools=, observer=); add it"
        )
    return build  # type: ignore[no-any-return]


def _check_task(file: YamlFile, scenario: Scenario, place: Place, task: TaskPart) -> None:
    for index, turn in enumerate(task.model):
        for name in turn.call:
            if name not in scenario.tools:
                raise file.error((*place, "model", index, "call", name), _unknown_tool(name, scenario))
    for index, world in enumerate(task.world):
        if world.tool not in scenario.tools:
            raise file.error((*place, "world", index, "tool"), _unknown_tool(world.tool, scenario))
    if task.expect not in OUTCOMES:
        hint = did_you_mean(task.expect, OUTCOMES)
        raise file.error((*place, "expect"), f"unknown outcome {task.expect!r}.{hint}")
    for index, row in enumerate(task.reports):
        if not isinstance(row.get("kind"), str):
            raise file.error((*place, "reports", index), "a report has a 'kind', such as breaker; add it")


def _unknown_tool(name: str, scenario: Scenario) -> str:
    return f"unknown tool {name!r}; add it to 'tools'.{did_you_mean(name, scenario.tools)}"
