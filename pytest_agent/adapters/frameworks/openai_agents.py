"""Agents of OpenAI's agents SDK, and tools of the sandbox for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pytest_agent.adapters.frameworks.plain import Key, plain_tools
from pytest_agent.adapters.outside import Answer
from pytest_agent.sandbox import Sandbox


def as_agent(agent: Any, *, how: Literal["run", "run_streamed"] = "run", **options: Any) -> Callable[[str], Any]:
    """An agent for `run_agent` of an Agent of the SDK: `await run_agent(as_agent(agent), "the task")`, an `Answer`.

    `how` is the method of its Runner; `options` go to it, such as `max_turns=`. One whose turns run out claims `limit`.
    What else it raises is its own failure: a guardrail, an answer of the model that it could not read, an error of the
    provider.
    """

    async def run(task: str) -> Answer:
        from agents import MaxTurnsExceeded, Runner

        try:
            if how == "run":
                result = await Runner.run(agent, task, **options)
            else:
                result = Runner.run_streamed(agent, task, **options)
                async for _ in result.stream_events():
                    pass
        except MaxTurnsExceeded as error:
            return Answer(str(error), "limit")
        return Answer(str(result.final_output), raw=result)

    return run


def tools_of(sandbox: Sandbox, *names: str, key: Key | None = None, **options: Any) -> list[Any]:
    """Tools of the sandbox as tools of the SDK, all where no name is given.

    `key` gives each call its idempotency key; `options` are those of `function_tool`. By its default the model is told
    of what a tool raises, and asked to try again.
    """
    from agents import function_tool

    return [
        function_tool(tool.function, name_override=tool.name, description_override=tool.description, **options)
        for tool in plain_tools(sandbox, names, key)
    ]
