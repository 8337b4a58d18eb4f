"""A worker of the soak: pays once per task. The world is a table beside the store, in a connection of its own.

python soak_worker.py URL SEED
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import asyncpg
from pydantic import BaseModel

from agentfsm import CallableTool, Effect, Limits, Runtime, Stage, ToolContract, Worker, Workflow
from agentfsm.store import open_store


class Nothing(BaseModel):
    """What a payment needs."""


class Receipt(BaseModel):
    """What it gives."""

    n: int


def contract(name: str, effect: Effect) -> ToolContract:
    """Return a contract of a class."""
    effects = () if effect is Effect.PURE else (name,)
    return ToolContract(name=name, version=1, input=Nothing, output=Receipt, effect=effect, effects=effects)


LOOK, PAY, MAIL = contract("look", Effect.PURE), contract("pay", Effect.IDEMPOTENT), contract("mail", Effect.QUERYABLE)
WORKFLOW = Workflow(
    name="soak",
    version=1,
    instructions="",
    goal="it is paid and told",
    contracts=(LOOK, PAY, MAIL),
    stages=(
        Stage("LOOK", frozenset({"look"}), lambda b: "look" in b, calls=lambda _b: [("look", {})]),
        Stage("PAY", frozenset({"pay"}), lambda b: "pay" in b, calls=lambda _b: [("pay", {})]),
        Stage("MAIL", frozenset({"mail"}), lambda b: "mail" in b, calls=lambda _b: [("mail", {})]),
    ),
    begin=lambda _text: {},
    fold=lambda business, tool, _arguments, _output: {**business, tool: 1},
    done_when=lambda business: "mail" in business,
    answers=lambda _business: "done",
)
WORLD = "CREATE TABLE IF NOT EXISTS world (tool TEXT, key TEXT, at TIMESTAMPTZ DEFAULT now())"


def runtime(store: Any, pool: Any) -> Runtime:
    """Build the agent over a store and a connection to the world."""

    async def look() -> dict[str, int]:
        return {"n": 1}

    async def pay(idempotency_key: str) -> dict[str, int]:
        # The service dedupes by key, in its own transaction.
        await pool.execute(
            "INSERT INTO world (tool, key) SELECT 'pay', $1 WHERE NOT EXISTS "
            "(SELECT 1 FROM world WHERE tool = 'pay' AND key = $1)",
            idempotency_key,
        )
        return {"n": 1}

    async def mail(idempotency_key: str) -> dict[str, int]:
        await pool.execute("INSERT INTO world (tool, key) VALUES ('mail', $1)", idempotency_key)
        return {"n": 1}

    async def mailed(idempotency_key: str) -> dict[str, int] | None:
        found = await pool.fetchval("SELECT 1 FROM world WHERE tool = 'mail' AND key = $1", idempotency_key)
        return {"n": 1} if found else None

    tools = {"look": CallableTool(LOOK, look), "pay": CallableTool(PAY, pay), "mail": CallableTool(MAIL, mail, mailed)}
    limits = Limits(step_s=5.0, lease_s=5.0, wall_s=3600.0)
    return Runtime(workflow=WORKFLOW, model=[], tools=tools, store=store, limits=limits, patience_s=1.0)


async def main(url: str, seed: int) -> None:
    """Work until asked to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = open_store(url)
    async with asyncpg.create_pool(url, min_size=2, max_size=8) as pool:
        worker = Worker(runtime(store, pool), concurrency=25, poll_s=0.2, lease_s=5.0, seed=seed)
        await worker.run(stop)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
