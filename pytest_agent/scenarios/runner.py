"""Run one scenario in the world of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_agent.errors import PytestAgentError
from pytest_agent.scenarios.model import Scenario, ToolPart, WorldPart
from pytest_agent.yaml_file import YamlFile

if TYPE_CHECKING:
    from pytest_agent.adapters.runner import AgentRunner
    from pytest_agent.llm.model import ScriptedModel
    from pytest_agent.sandbox import Sandbox


class EndedOtherwise(PytestAgentError, AssertionError):
    """The agent's clean run did not end as its scenario says."""


async def run_scenario(
    scenario: Scenario,
    file: YamlFile,
    build: Callable[..., Any],
    llm: ScriptedModel,
    sandbox: Sandbox,
    run_agent: AgentRunner,
) -> None:
    """Script the model, stock the sandbox, run the agent. Raises EndedOtherwise where a clean run does."""
    from pytest_agent.adapters.agentfsm import shipped_agent

    for name, part in scenario.tools.items():
        _add_tool(sandbox, name, part)
    llm.says(*(part.turn() for part in scenario.model))
    for world in scenario.world:
        sandbox.must_hold(str(world), _predicate(sandbox, world))
    result = await run_agent(shipped_agent(build, sandbox), scenario.task)
    if not run_agent.faulted and result.outcome != scenario.expect:
        raise EndedOtherwise(
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
