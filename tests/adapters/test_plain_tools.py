"""Tools of the sandbox as plain functions, which frameworks make their own tools of."""

import asyncio
import inspect

import pytest

from pytest_agent.adapters.frameworks.plain import plain_tools


@pytest.fixture
def sandbox(run_under):
    run = run_under()
    with run.inside():

        @run.sandbox.tool("payments.refund", effect=True, idempotent=True)
        def refund(order: int, amount: int = 20, idempotency_key: str | None = None):
            """Pay an order back."""
            return {"key": idempotency_key}

        @run.sandbox.tool("notify", effect=True)
        async def notify(text: str):
            return {"sent": text}

        yield run.sandbox


def test_a_name_is_one_that_every_wire_takes_and_the_signature_is_the_functions(sandbox):
    refund, notify = plain_tools(sandbox, (), None)
    assert (refund.name, notify.name) == ("payments_refund", "notify")
    assert (refund.description, notify.description) == ("Pay an order back.", "notify.")
    assert (refund.is_async, notify.is_async) == (False, True)
    assert str(inspect.signature(refund.function)) == "(order: int, amount: int = 20)"
    assert refund.function.__annotations__ == {"order": int, "amount": int}


def test_a_call_has_the_key_that_is_given_for_it(sandbox):
    refund, notify = plain_tools(sandbox, (), lambda tool, given: f"{tool} {sorted(given)}")
    assert refund.function(7) == refund.function(order=7) == {"key": "payments.refund ['order']"}
    assert asyncio.run(notify.function(text="x")) == {"sent": "x"}
    assert [entry.key for entry in sandbox.ledger] == ["payments.refund ['order']", "notify ['text']"]


def test_without_one_it_has_none(sandbox):
    (refund,) = plain_tools(sandbox, ("payments.refund",), None)
    refund.function(7)
    refund.function(7)
    assert [entry.key for entry in sandbox.ledger] == [None, None]
