"""Compiled graphs of langgraph, and tools of the sandbox for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pytest_agent.adapters.frameworks.plain import Key, plain_tools
from pytest_agent.adapters.outside import Answer
from pytest_agent.sandbox import Sandbox

How = Literal["invoke", "ainvoke", "stream", "astream"]

_GAVE_UP = "Sorry, need more steps to process this request."
"""What the prebuilt agent says, as if it were its answer, when its steps run out."""


def as_agent(
    graph: Any,
    *,
    how: How = "invoke",
    state: Callable[[str], Any] | None = None,
    answer: Callable[[Any], str] | None = None,
    **options: Any,
) -> Callable[[str], Any]:
    """An agent for `run_agent` of a compiled graph: `run_agent(as_agent(graph), "the task")`, an `Answer`.

    `how` is the method of the graph, `a…` for async; `options` go to it, such as `config=`. `state` makes the input of
    the task, by default one message of the user; `answer` reads the text from the last state, by default its last
    message. A graph whose steps run out claims `limit`, one that is interrupted `partial`; what it raises is its own.
    """
    begin = state or _one_message
    text = answer or _last_message

    def ended(last: Any) -> Answer:
        if isinstance(last, Mapping) and "__interrupt__" in last:
            return Answer("interrupted", "partial", raw=last)
        said = text(last)
        return Answer(said, "limit" if said == _GAVE_UP else "success", raw=last)

    def agent(task: str) -> Answer:
        from langgraph.errors import GraphRecursionError

        last = None
        try:
            if how == "invoke":
                last = graph.invoke(begin(task), **options)
            else:
                for last in graph.stream(begin(task), stream_mode="values", **options):  # noqa: B007 - the last counts
                    pass
        except GraphRecursionError as error:
            return Answer(str(error), "limit", raw=last)
        return ended(last)

    async def async_agent(task: str) -> Answer:
        from langgraph.errors import GraphRecursionError

        last = None
        try:
            if how == "ainvoke":
                last = await graph.ainvoke(begin(task), **options)
            else:
                async for last in graph.astream(begin(task), stream_mode="values", **options):  # noqa: B007 - as above
                    pass
        except GraphRecursionError as error:
            return Answer(str(error), "limit", raw=last)
        return ended(last)

    return async_agent if how in ("ainvoke", "astream") else agent


def tools_of(sandbox: Sandbox, *names: str, key: Key | None = None, **options: Any) -> list[Any]:
    """Tools of the sandbox as tools of langchain, all where no name is given.

    `key` gives each call its idempotency key; `options` are those of `StructuredTool.from_function`.
    """
    from langchain_core.tools import StructuredTool

    return [
        StructuredTool.from_function(
            **{"coroutine" if tool.is_async else "func": tool.function},
            name=tool.name,
            description=tool.description,
            **options,
        )
        for tool in plain_tools(sandbox, names, key)
    ]


def _one_message(task: str) -> dict[str, Any]:
    return {"messages": [("user", task)]}


def _last_message(state: Any) -> str:
    return str(state["messages"][-1].text)
