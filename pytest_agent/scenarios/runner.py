"""Run one scenario in the world of a test."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_agent.errors import PytestAgentError, did_you_mean
from pytest_agent.scenarios.model import Scenario, ToolPart, WorldPart
from pytest_agent.trace import StoreCommitted, ToolCalled
from pytest_agent.yaml_file import YamlFile

if TYPE_CHECKING:
    from pytest_agent.adapters.agentfsm import AgentFsm
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
    """Script the model, stock the sandbox, run the agent. Raises EndedOtherwise where a clean run does.

    Raises UsageError for tools that the agent cannot be built with, for stages that it does not have, and for events
    that claim to be its own.
    """
    agent = prepare(scenario, build, llm, sandbox)
    _check_names(scenario, file, agent)
    result = await run_agent(agent, scenario.task)
    _check_budgets(scenario, file, llm, run_agent)
    if not run_agent.faulted and result.outcome != scenario.expect:
        raise EndedOtherwise(
            f"{file.where(('expect',))} expect: the agent ended as {result.outcome!r} "
            f"(cause {result.cause!r}), expected {scenario.expect!r}"
        )
    if not run_agent.faulted and scenario.cause is not None and result.cause != scenario.cause:
        raise EndedOtherwise(
            f"{file.where(('cause',))} cause: the agent ended as {result.outcome!r} because of {result.cause!r}, "
            f"expected {scenario.cause!r}; correct the cause, or the agent"
        )
    stages = [event.stage for event in run_agent.trace.of(StoreCommitted)]
    path = [stage for stage, _ in itertools.groupby(stages)]
    if scenario.path and not run_agent.faulted and path != scenario.path:
        raise EndedOtherwise(
            f"{file.where(('path',))} path: the agent went {' -> '.join(path)}, expected {' -> '.join(scenario.path)}; "
            "correct the path, or the agent"
        )


def prepare(scenario: Scenario, build: Callable[..., Any], llm: ScriptedModel, sandbox: Sandbox) -> AgentFsm:
    """Script the model and stock the sandbox; the agent that is to run there."""
    from pytest_agent.adapters.agentfsm import shipped_agent

    for name, part in scenario.tools.items():
        _add_tool(sandbox, name, part)
    llm.says(*(part.turn() for part in scenario.model))
    for world in scenario.world:
        sandbox.must_hold(str(world), _predicate(sandbox, world))
    arrivals = [part.arrival() for part in scenario.arrives]
    return shipped_agent(build, sandbox, arrivals, dry_run=scenario.dry_run)


def _check_names(scenario: Scenario, file: YamlFile, agent: AgentFsm) -> None:
    try:
        described = agent.describe()
    except Exception as error:
        raise file.error(
            ("agent",), f"{scenario.agent!r} cannot be built with these 'tools' ({type(error).__name__}: {error})"
        ) from error
    stages = [stage["name"] for stage in described.get("stages", ())]
    for index, name in enumerate(scenario.path):
        if stages and name not in stages:
            raise file.error(("path", index), f"unknown stage {name!r}.{did_you_mean(name, stages)}")
    for index, part in enumerate(scenario.arrives):
        if part.source in described.get("own_sources", ()):
            raise file.error(
                ("arrives", index, "source"),
                f"source {part.source!r} is the agent's own; name the system that sends the event",
            )


def _check_budgets(scenario: Scenario, file: YamlFile, llm: ScriptedModel, run_agent: AgentRunner) -> None:
    budgets, trace = scenario.budgets, run_agent.trace
    used = {
        "model_calls": len(llm.requests),
        "tool_calls": sum(1 for _ in trace.of(ToolCalled)),
        "seconds": trace.events[-1].t_s,
    }
    for name, spent in used.items():
        most = getattr(budgets, name)
        if most is not None and spent > most:
            raise EndedOtherwise(
                f"{file.where(('budgets', name))} budgets.{name}: {spent:g} were used, expected at most {most:g}; "
                "raise the budget, or have the agent use less"
            )


def _add_tool(sandbox: Sandbox, name: str, part: ToolPart) -> None:
    first = iter(part.first)

    @sandbox.tool(name, effect=part.effect, idempotent=part.idempotent)
    async def tool(**arguments: Any) -> Any:
        del arguments
        return next(first, part.returns)


def _predicate(sandbox: Sandbox, world: WorldPart) -> Any:
    return lambda: sandbox.ledger.count(world.tool, **world.arguments) == world.count
