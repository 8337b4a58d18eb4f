"""Ten no-op steps on agentfsm, everything on: intents, contracts, budgets, breaker, audit, fences."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from arms import run
from pydantic import BaseModel

from agentfsm import CallableTool, Effect, Limits, Runtime, Stage, ToolContract, Workflow
from agentfsm.breaker import Breaker
from agentfsm.store import open_store


class Number(BaseModel):
    """What goes in, and what comes out."""

    n: int


NOOP = ToolContract(name="noop", version=1, input=Number, output=Number, effect=Effect.IDEMPOTENT, effects=("nothing",))


async def noop(n: int, idempotency_key: str) -> dict[str, Any]:
    return {"status": "success", "n": n}


def fold(_business: Any, _tool: str, _arguments: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"n": output["n"]}


WORKFLOW = Workflow(
    name="ten",
    version=1,
    instructions="",
    goal="ten steps are done",
    contracts=(NOOP,),
    stages=(
        Stage(
            "COUNT",
            frozenset({"noop"}),
            lambda business: business["n"] >= 10,
            calls=lambda business: [("noop", {"n": business["n"] + 1})],
        ),
    ),
    begin=lambda _text: {"n": 0},
    fold=fold,
    done_when=lambda business: business["n"] >= 10,
    answers=lambda _business: "done",
)


async def main(url: str, tasks: int, at_once: int) -> None:
    store = open_store(url)
    runtime = Runtime(
        workflow=WORKFLOW,
        model=[],
        tools={"noop": CallableTool(NOOP, noop)},
        store=store,
        limits=Limits(per_tool={"noop": 100}),
        breaker=Breaker(),
        observer=lambda _row: None,
    )
    await run(lambda number: runtime.run(request_id=f"task-{number}", text="go"), tasks, at_once)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) // 10, int(sys.argv[3])))
