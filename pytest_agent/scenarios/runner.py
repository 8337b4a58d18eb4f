"""Run one scenario in the world of a test."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_agent.scenarios.model import Scenario, ToolPart, WorldPart
from pytest_agent.yaml_file import YamlFile

if TYPE_CHECKING:
    from pytest_agent.adapters.runner import AgentRunner
    from pytest_agent.llm.model import ScriptedModel
    from pytest_agent.sandbox import Sandbox


async def run_scenario(
    scenario: Scenario, file: YamlFile, llm: ScriptedModel, sandbox: Sandbox, run_agent: AgentRunner
) -> None:
    """Script the model, stock the sandbox, run the agent. Raises AssertionError where a clean run ends otherwise."""
    from pytest_agent.adapters.agentfsm import shipped_agent

    for name, part in scenario.tools.items():
        _add_tool(sandbox, name, part)
    llm.says(*(part.turn() for part in scenario.model))
    for world in scenario.world:
        sandbox.must_hold(str(world), _predicate(sandbox, world))
    try:
        module = importlib.import_module(scenario.agent)
    except ImportError as error:
        raise file.error(("agent",), f"{scenario.agent!r} cannot be imported: {error}") from None
    build = getattr(module, "build", None)
    if not callable(build):
        raise file.error(("agent",), f"{scenario.agent!r} has no build(); name a module like agentfsm.agents.…")
    result = await run_agent(shipped_agent(build, sandbox), scenario.task)
    if not run_agent.faulted and result.outcome != scenario.expect:
        raise AssertionError(
            f"{file.where(('expect',))} expect: the agent ended as {result.outcome!r} "
            f"(cause {result.cause!r}), expected {scenario.expect!r}"
        )


def _add_tool(sandbox: Sandbox, name: str, part: ToolPart) -> None:
    @sandbox.tool(name, effect=part.effect, idempotent=part.idempotent)
    async def tool(**arguments: Any) -> Any:
        del arguments
        return part.returns


def _predicate(sandbox: Sandbox, world: WorldPart) -> Any:
    return lambda: sandbox.ledger.count(world.tool, **world.arguments) == world.count
