"""Ten no-op nodes on LangGraph with its SQLite saver, each step durable before the next (`durability="sync"`)."""

import asyncio
import sys
from typing import TypedDict

from arms import run
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class Count(TypedDict):
    """The state of the graph."""

    n: int


async def node(state: Count) -> Count:
    return {"n": state["n"] + 1}


async def main(path: str, tasks: int, at_once: int) -> None:
    graph = StateGraph(Count)
    names = [f"step{number}" for number in range(10)]
    for name in names:
        graph.add_node(name, node)
    for one, other in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(one, other)
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        await saver.conn.execute("PRAGMA synchronous = FULL")
        compiled = graph.compile(checkpointer=saver)

        async def task(number: int) -> object:
            config = {"configurable": {"thread_id": f"task-{number}"}}
            return await compiled.ainvoke({"n": 0}, config, durability="sync")

        await run(task, tasks, at_once)


asyncio.run(main(sys.argv[1], int(sys.argv[2]) // 10, int(sys.argv[3])))
