"""Agents of pydantic-ai, and tools of the sandbox for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pytest_agent.adapters.frameworks.plain import Key, plain_tools
from pytest_agent.adapters.outside import Answer
from pytest_agent.sandbox import Sandbox


def as_agent(agent: Any, *, how: Literal["run", "run_sync"] = "run", **options: Any) -> Callable[[str], Any]:
    """An agent for `run_agent` of a pydantic-ai Agent: `await run_agent(as_agent(agent), "the task")`, an `Answer`.

    `how` is its method; `options` go to it, such as `usage_limits=` and `deps=`. One whose usage or time runs out
    claims `limit`. What else it raises is its own failure: retries of a tool that are used up, an answer of the model
    that it could not read, an error of the provider.
    """

    async def run(task: str) -> Answer:
        from pydantic_ai.exceptions import RunTimedOut, UsageLimitExceeded

        try:
            result = await agent.run(task, **options)
        except (RunTimedOut, UsageLimitExceeded) as error:
            return Answer(str(error), "limit")
        return Answer(str(result.output), raw=result)

    def run_sync(task: str) -> Answer:
        from pydantic_ai.exceptions import RunTimedOut, UsageLimitExceeded

        try:
            result = agent.run_sync(task, **options)
        except (RunTimedOut, UsageLimitExceeded) as error:
            return Answer(str(error), "limit")
        return Answer(str(result.output), raw=result)

    return run if how == "run" else run_sync


def tools_of(sandbox: Sandbox, *names: str, key: Key | None = None, **options: Any) -> list[Any]:
    """Tools of the sandbox as tools of pydantic-ai, all where no name is given.

    `key` gives each call its idempotency key; `options` are those of `pydantic_ai.Tool`.
    """
    from pydantic_ai import Tool

    return [
        Tool(tool.function, takes_ctx=False, name=tool.name, description=tool.description, **options)
        for tool in plain_tools(sandbox, names, key)
    ]
