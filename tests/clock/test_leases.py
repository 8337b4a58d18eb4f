"""A lease of the bundled runtime runs out at its virtual second, and costs no real time."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel

from agentfsm import CallableTool, Effect, OpenAIChat, Runtime, SQLiteStore, Stage, ToolContract, Workflow
from pytest_agent.clock import Clock

LEASE_S = 30.0


class Killed(BaseException):
    """The process is gone."""


class Nothing(BaseModel):
    pass


class Paid(BaseModel):
    receipt: str


CONTRACT = ToolContract(
    name="pay", version=1, input=Nothing, output=Paid, effect=Effect.IDEMPOTENT, effects=("payment",)
)
PAYS = Workflow(
    name="payer",
    version=1,
    instructions="Pay.",
    goal="it is paid",
    contracts=(CONTRACT,),
    stages=(Stage("PAY", frozenset({"pay"}), lambda _: False),),
    begin=lambda _text: {},
    fold=lambda business, _tool, _arguments, output: {**business, "receipt": output["receipt"]},
    done_when=lambda business: "receipt" in business,
)


def provider(request: httpx.Request) -> httpx.Response:
    """Asks for the payment, and then says that it is done."""
    paid = any(message["role"] == "tool" for message in json.loads(request.content)["messages"])
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "pay", "arguments": "{}"}}
    delta = {"content": "Paid."} if paid else {"tool_calls": [call]}
    chunks = [{"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": "stop" if paid else "tool_calls"}]
    body = "".join(f"data: {json.dumps({'choices': [chunk]})}\n\n" for chunk in chunks)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=body + "data: [DONE]\n\n")


def test_another_worker_takes_over_exactly_when_the_lease_of_a_dead_one_is_over(
    installed: Clock, tmp_path: Path, really_took: Callable[[], float]
) -> None:
    called_at: list[float] = []

    async def pay(idempotency_key: str = "") -> dict[str, str]:
        called_at.append(installed.time())
        if len(called_at) == 1:
            raise Killed
        return {"receipt": "P1"}

    async def work(act: Callable[[Runtime], object]) -> str:
        store = SQLiteStore(tmp_path / "tasks.db")
        try:
            async with httpx.AsyncClient(transport=httpx.MockTransport(provider)) as client:
                model = OpenAIChat(client, model="m", base_url="http://model.test/v1")
                tools = {"pay": CallableTool(CONTRACT, pay, None)}
                result = await act(Runtime(workflow=PAYS, model=model, tools=tools, store=store))  # type: ignore[misc]
                return result.outcome
        finally:
            await store.close()

    with pytest.raises(Killed):
        asyncio.run(work(lambda runtime: runtime.run(request_id="r1", text="pay")))
    with closing(sqlite3.connect(tmp_path / "tasks.db")) as db, db:
        # Of this process it would be known that the worker is dead.
        db.execute("UPDATE task SET owner = 'linux:other-boot:pid:[1]/7/abc'")
        ((lease_until,),) = db.execute("SELECT lease_until FROM task")
    assert lease_until - installed.time() >= LEASE_S
    assert asyncio.run(work(lambda runtime: runtime.resume("r1"))) == "success"
    assert called_at[1] == pytest.approx(lease_until, abs=1e-3)
    assert really_took() < 20
