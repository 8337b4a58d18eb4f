"""Contracts before and after a call, the four statuses, and replies that are lost."""

import asyncio
import threading
import time
from dataclasses import replace

import httpx
import pytest
from pydantic import BaseModel

from agentfsm import AgentError, CallableTool, Effect, ToolContract
from agentfsm.agents.support_refund import CONTRACTS, LookupInput, LookupOutput

REFUND = "payments.refund"
LOST = [
    TimeoutError(),
    ConnectionResetError(),
    httpx.ReadTimeout("late"),
    httpx.RemoteProtocolError("gone"),
    httpx.HTTPStatusError("502", request=httpx.Request("POST", "http://x"), response=httpx.Response(502)),
]


@pytest.mark.parametrize(
    "arguments",
    ["{", '{"order": 7', "[7]", '"7"', "null", "", '{"order": "7"}', '{"order": 0}', '{"order": 7, "x": 1}', "NaN"],
)
def test_malformed_arguments_never_reach_the_tool_and_the_model_hears_why(world, wire, arguments):
    world.script.insert(0, wire.calls(("orders_lookup", arguments)))
    assert world.run().outcome == "success"
    assert world.lookups == [7]
    assert world.steps()[1] == (2, 1, "orders.lookup", "failed", "invalid_arguments")
    answer = world.requests[1]["messages"][3]
    assert answer["role"] == "tool"
    assert "invalid_arguments" in answer["content"]


def test_a_history_with_malformed_arguments_can_still_be_sent(world, wire):
    world.script.insert(0, wire.calls(("orders_lookup", "{")))
    world.run()
    assert world.requests[1]["messages"][2]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_no_arguments_are_an_empty_object_where_nothing_is_required(payer):
    pay = payer(Effect.IDEMPOTENT)
    assert pay.run().outcome == "success"


def test_corrections_are_bounded(world, wire):
    world.script = [wire.calls(("orders_lookup", "{"))] * 9
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "invalid_arguments")
    assert len(world.requests) == 3


@pytest.mark.parametrize("failure", LOST, ids=lambda failure: type(failure).__name__)
def test_a_lost_reply_ends_in_exactly_one_refund(world, failure):
    world.breaks(REFUND, failure, after_effect=True)
    assert world.run().outcome == "success"
    assert [key for _, _, key in world.refund_calls] == ["r1:4", "r1:4"]
    assert world.ledger == {"r1:4": 20}
    assert (4, 1, REFUND, "in_doubt") in [step[:4] for step in world.steps()]


def test_replies_lost_for_good_leave_the_refund_unknown_not_failed(world):
    world.breaks(REFUND, *[TimeoutError()] * 9, after_effect=True)
    result = world.run()
    assert (result.outcome, result.cause, result.state) == ("unknown", "timeout", "WAITING_EXTERNAL")
    assert [entry["key"] for entry in result.unknown] == ["r1:4"]
    assert len(world.refund_calls) == 5
    assert len(world.ledger) == 1


def test_a_lookup_lost_for_good_is_failed_for_it_changes_nothing(world):
    world.breaks("orders.lookup", *[TimeoutError()] * 9)
    result = world.run()
    assert (result.outcome, result.cause, result.unknown) == ("failed", "timeout", [])


def test_an_effect_that_failed_and_was_not_made_good_is_no_success(payer, world, wire):
    async def refuse(amount, idempotency_key):
        return {"status": "invalid_input"}

    pay = payer(Effect.IDEMPOTENT)
    pay.workflow = replace(pay.workflow, done_when=lambda _business: True)
    pay.tool._function = refuse
    world.script += [wire.says("Paid.")] * 2
    result = pay.run()
    assert (result.outcome, result.cause) == ("failed", "not_done")


def test_a_tool_that_is_asked_too_often_is_repeated_without_doubt(world):
    reply = httpx.Response(429)
    error = httpx.HTTPStatusError("429", request=httpx.Request("POST", "http://x"), response=reply)
    world.breaks(REFUND, error)
    assert world.run().outcome == "success"
    assert (4, 1, REFUND, "failed", "rate_limit") in world.steps()


def test_a_number_that_json_cannot_hold_is_outside_every_contract():
    class Output(BaseModel):
        amount: float

    contract = ToolContract("x", 1, LookupInput, Output, Effect.PURE)
    assert contract.check({"amount": 1.5}) == {"amount": 1.5}
    with pytest.raises(AgentError) as refused:
        contract.check({"amount": float("nan")})
    assert refused.value.code == "contract_violation"


def test_a_request_that_was_never_sent_is_no_doubt(world):
    world.breaks(REFUND, *[ConnectionRefusedError()] * 9)
    result = world.run()
    assert (result.outcome, result.cause, result.unknown) == ("failed", "not_sent", [])
    assert result.not_done[0]["tool"] == REFUND


def test_a_temporary_error_is_repeated_with_the_same_key(world):
    world.breaks(REFUND, {"status": "temporary_error", "error_code": "busy"})
    assert world.run().outcome == "success"
    assert (4, 1, REFUND, "failed", "busy") in world.steps()
    assert world.ledger == {"r1:4": 20}
    assert len(world.clock.pauses) == 1


def test_a_temporary_error_that_stays_fails_the_task(world):
    world.breaks(REFUND, *[{"status": "temporary_error", "error_code": "busy"}] * 9)
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "busy")
    assert [step[1] for step in world.steps() if step[0] == 4] == [1, 2, 3, 4, 5]


def test_a_temporary_error_after_a_lost_reply_stays_unknown(world):
    world.breaks(REFUND, TimeoutError(), *[{"status": "temporary_error"}] * 9)
    assert world.run().outcome == "unknown"


def test_a_permanent_error_gets_exactly_one_attempt(world):
    world.breaks(REFUND, {"status": "permanent_error", "error_code": "account_closed"})
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "account_closed")
    assert [entry["tool"] for entry in result.done] == ["orders.lookup"]
    assert world.refund_calls == []


def test_invalid_input_goes_to_the_model_with_its_reason(world, wire):
    world.breaks(REFUND, {"status": "invalid_input", "error_code": "odd", "reason": "only even amounts"})
    world.script.insert(2, wire.refund(18))
    result = world.run()
    assert (result.outcome, result.not_done) == ("success", [])
    assert "only even amounts" in world.told()[1]
    assert list(world.ledger.values()) == [18]


def test_invalid_input_after_a_lost_reply_opens_no_second_payment(world):
    world.breaks(REFUND, TimeoutError(), {"status": "invalid_input"}, after_effect=True)
    assert world.run().outcome == "unknown"
    assert len(world.ledger) == 1


BROKEN = [None, [], "ok", {}, {"refund_id": 7}, {"refund_id": ""}, {"status": "fine", "refund_id": "R"}, {"status": []}]


@pytest.mark.parametrize("reply", BROKEN, ids=repr)
def test_an_answer_outside_the_contract_is_no_success_and_is_not_repeated(world, reply):
    async def refund(order, amount, idempotency_key):
        world.refund_calls.append((order, amount, idempotency_key))
        return reply

    world.tools[REFUND] = refund
    result = world.run()
    assert (result.outcome, result.cause) == ("unknown", "contract_violation")
    assert len(world.refund_calls) == 1


def test_a_pure_tool_outside_its_contract_fails(world):
    world.order = {"order": 7, "amount": "20", "currency": "EUR", "refundable": True}
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "contract_violation")
    assert world.lookups == [7]


def test_fields_that_a_contract_does_not_know_do_no_harm(world):
    world.order["colour"] = "blue"
    assert world.run().outcome == "success"


@pytest.mark.parametrize("error", [KeyError("secret-token"), StopIteration(), AssertionError()], ids=repr)
def test_a_tool_that_crashes_ends_the_task_and_leaks_nothing(world, error):
    def lookup(order):
        raise error

    world.tools["orders.lookup"] = lookup
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "tool_crashed")
    assert "secret-token" not in str(asyncio.run(world.store.steps("r1"))) + str(world.observed)


def test_a_payment_that_crashes_is_unknown(world):
    world.breaks(REFUND, ValueError(), after_effect=True)
    result = world.run()
    assert (result.outcome, result.cause) == ("unknown", "tool_crashed")


def test_an_unsafe_tool_whose_reply_is_lost_is_not_called_again(payer):
    pay = payer(Effect.UNSAFE)
    pay.replies = [TimeoutError()]
    assert pay.run().outcome == "unknown"
    assert pay.paid == ["r1:2"]


def test_an_unsafe_tool_that_says_try_again_is_called_again(payer):
    pay = payer(Effect.UNSAFE)
    pay.replies = ["refuse"]
    assert pay.run().outcome == "success"
    assert pay.paid == ["r1:2"]


def test_a_queryable_tool_is_asked_before_it_is_called_again(payer):
    pay = payer(Effect.QUERYABLE, query=True)
    pay.replies = [TimeoutError()]
    assert pay.run().outcome == "success"
    assert (pay.paid, pay.asked) == (["r1:2"], ["r1:2"])


def test_a_queryable_tool_is_not_asked_where_nothing_was_lost(payer):
    pay = payer(Effect.QUERYABLE, query=True)
    pay.replies = ["refuse"]
    assert pay.run().outcome == "success"
    assert pay.asked == []


def test_a_queryable_tool_that_cannot_be_asked_waits(payer):
    pay = payer(Effect.QUERYABLE)
    pay.replies = [TimeoutError()]
    assert pay.run().state == "WAITING_EXTERNAL"


def test_a_pure_tool_gets_no_key_and_is_simply_run_again(payer):
    pay = payer(Effect.PURE)
    pay.replies = [TimeoutError()]
    assert pay.run().outcome == "success"
    assert pay.paid == ["", ""]


def test_a_tool_that_waits_for_an_answer_heals_when_it_is_asked_again_later(world, payer):
    pay = payer(Effect.IDEMPOTENT)
    pay.replies = [TimeoutError(), *["refuse"] * 3]
    world.limits = type(world.limits)(attempts=4)
    assert pay.run().outcome == "unknown"
    world.limits = type(world.limits)()
    assert pay.run().outcome == "success"
    assert set(pay.paid) == {"r1:2"}


def test_a_sync_tool_runs_beside_the_event_loop(world):
    threads = []

    def lookup(order):
        threads.append(threading.current_thread())
        return world.order

    world.tools["orders.lookup"] = lookup
    world.run()
    assert threads[0] is not threading.main_thread()


def test_a_tool_that_hangs_is_given_up_after_its_own_time(payer):
    pay = payer(Effect.UNSAFE)
    object.__setattr__(pay.tool.contract, "timeout_s", 0.01)
    stopped = []

    async def hang(amount, idempotency_key):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(idempotency_key)

    pay.tool._function = hang
    began = time.monotonic()
    assert pay.run().cause == "timeout"
    assert time.monotonic() - began < 5
    assert stopped == ["r1:2"]


def test_a_contract_that_contradicts_itself_is_refused_when_it_is_made():
    rest = {"name": "x", "version": 1, "input": LookupInput, "output": LookupOutput}
    with pytest.raises(AgentError, match="a pure tool has none"):
        ToolContract(**rest, effect=Effect.PURE, effects=("money",))
    with pytest.raises(AgentError, match="names at least one"):
        ToolContract(**rest, effect=Effect.UNSAFE)
    with pytest.raises(AgentError, match="timeout_s"):
        ToolContract(**rest, effect=Effect.PURE, timeout_s=0)


def test_a_runtime_without_one_of_its_tools_is_refused_when_it_is_built(world):
    del world.tools[REFUND]
    with pytest.raises(AgentError, match="needs tools"):
        world.run()


def test_a_callable_object_is_a_tool_too():
    class Lookup:
        async def __call__(self, order):
            return {"order": order}

    tool = CallableTool(CONTRACTS[0], Lookup())
    assert asyncio.run(tool.call({"order": 7}, "k")) == {"order": 7}
