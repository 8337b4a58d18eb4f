"""The agent that survives: `support_refund`, built on the bundled runtime."""

import httpx
import pytest

from agentfsm import OpenAIChat, SQLiteStore
from agentfsm.agents import support_refund
from pytest_agent import AgentFsm, call

http = httpx.AsyncClient()


@pytest.mark.chaos(must_recover=True)
async def test_refund_is_paid_once_whatever_breaks(llm, sandbox, run_agent):
    @sandbox.tool("orders.lookup")
    async def lookup(order: int):
        return {"order": order, "amount": 20, "currency": "EUR", "refundable": True}

    @sandbox.tool("payments.refund", effect=True, idempotent=True)
    async def refund(order: int, amount: int):
        return {"refund_id": f"refund-of-{order}"}

    llm.says(
        call("orders.lookup", order=7),
        call("payments.refund", order=7, amount=20),
        "Order 7 is refunded: 20 EUR are on their way back to you.",
    )
    agent = AgentFsm(
        lambda store, observer: support_refund.build(
            store=store,
            model=OpenAIChat(http, model="gpt-5", api_key="test"),
            tools=sandbox.tools,
            observer=observer,
        ),
        lambda: SQLiteStore(sandbox.folder / "tasks.db"),
    )
    sandbox.must_hold("order 7 is refunded once", lambda: sandbox.ledger.count("payments.refund", order=7) == 1)

    await run_agent(agent, "Please refund order 7")

    assert sandbox.ledger.count("payments.refund") <= 1
