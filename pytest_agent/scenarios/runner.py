"""Run one scenario in the world of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_agent.errors import did_you_mean
from pytest_agent.scenarios.ended import EndedOtherwise, check_ending
from pytest_agent.scenarios.model import NextPart, Scenario, ToolPart, WorldPart
from pytest_agent.trace import ToolCalled
from pytest_agent.yaml_file import YamlFile

if TYPE_CHECKING:
    from pytest_agent.adapters.agentfsm import AgentFsm
    from pytest_agent.adapters.runner import AgentRunner
    from pytest_agent.llm.model import ScriptedModel
    from pytest_agent.sandbox import Sandbox


async def run_scenario(
    scenario: Scenario,
    file: YamlFile,
    build: Callable[..., Any],
    llm: ScriptedModel,
    sandbox: Sandbox,
    run_agent: AgentRunner,
) -> None:
    """Script the model, stock the sandbox, give the agent its tasks. Raises EndedOtherwise where a clean run does.

    Raises UsageError for tools that the agent cannot be built with, for stages that it does not have, and for events
    that claim to be its own.
    """
    agent = prepare(scenario, build, llm, sandbox)
    _check_names(scenario, file, agent)
    for place, task in scenario.tasks():
        if isinstance(task, NextPart):
            await asyncio.sleep(task.after_s)
            llm.new_conversation()
            llm.says(*(part.turn() for part in task.model))
            agent.turn_to(task.id, [part.arrival() for part in task.arrives])
        began = len(run_agent.trace.events)
        result = await run_agent(agent, task.task)
        _check_budgets(scenario, file, llm, run_agent)
        if result.outcome == "success":
            for world in task.world:
                sandbox.must_hold(str(world), _predicate(sandbox, world))
        if not run_agent.faulted:
            check_ending(task, file, place, result, run_agent.trace.events[began:], sandbox.ledger)


def prepare(
    scenario: Scenario, build: Callable[..., Any], llm: ScriptedModel, sandbox: Sandbox, database: str = ""
) -> AgentFsm:
    """Stock the sandbox, and script the model for the first task; the agent that is to run there.

    `database`: see `shipped_agent`.
    """
    from pytest_agent.adapters.agentfsm import shipped_agent

    for name, part in scenario.tools.items():
        _add_tool(sandbox, name, part)
    llm.says(*(part.turn() for part in scenario.model))
    arrivals = [part.arrival() for part in scenario.arrives]
    return shipped_agent(build, sandbox, arrivals, request_id=scenario.id, dry_run=scenario.dry_run, database=database)


def _check_names(scenario: Scenario, file: YamlFile, agent: AgentFsm) -> None:
    try:
        described = agent.describe()
    except Exception as error:
        raise file.error(
            ("agent",), f"{scenario.agent!r} cannot be built with these 'tools' ({type(error).__name__}: {error})"
        ) from error
    stages = [stage["name"] for stage in described.get("stages", ())]
    for place, task in scenario.tasks():
        for index, name in enumerate(task.path):
            if stages and name not in stages:
                raise file.error((*place, "path", index), f"unknown stage {name!r}.{did_you_mean(name, stages)}")
        for index, part in enumerate(task.arrives):
            if part.source in described.get("own_sources", ()):
                raise file.error(
                    (*place, "arrives", index, "source"),
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


def _predicate(sandbox: Sandbox, world: WorldPart) -> Callable[[], bool]:
    return lambda: sandbox.ledger.count(world.tool, **world.arguments) == world.count
