import asyncio
import itertools
import json

import pytest

from agentfsm import AgentError, Conflict, Effect, InputChanged, State

CLEAN = [
    "start, intent step 1 model",
    "finish step 1, intent step 2 orders.lookup",
    "finish step 2, intent step 3 model",
    "finish step 3, intent step 4 payments.refund",
    "finish step 4, intent step 5 model",
    "finish step 5, DONE success",
]


def test_an_order_is_looked_up_and_refunded_once(world):
    result = world.run()
    assert (result.outcome, result.cause, result.answer, result.state) == ("success", None, "Refunded.", State.DONE)
    assert [entry["tool"] for entry in result.done] == ["orders.lookup", "payments.refund"]
    assert (result.not_done, result.unknown) == ([], [])
    assert world.ledger == {"r1:4": 20}


def test_five_steps_cost_six_commits_each_result_fused_with_the_next_intent(world):
    world.run()
    assert [change.label for change in world.store.commits] == CLEAN


def test_the_intent_of_an_effect_is_durable_before_it_happens(world):
    seen = []
    real = world.tools["payments.refund"]

    async def spy(**arguments):
        seen.append([(s.tool, s.status, s.key) for s in await world.store.steps("r1")][-1])
        return await real(**arguments)

    world.tools["payments.refund"] = spy
    world.run()
    assert seen == [("payments.refund", "pending", "r1:4")]


def test_a_finished_task_returns_what_is_stored_and_runs_nothing(world):
    first = world.run()
    calls, commits = len(world.requests), len(world.store.commits)
    assert world.run() == first
    assert world.play(lambda runtime: runtime.resume("r1")) == first
    assert (len(world.requests), len(world.store.commits)) == (calls, commits)


def test_an_order_that_cannot_be_refunded_is_a_success_without_a_refund(world, wire):
    world.order["refundable"] = False
    world.script = [wire.lookup(), wire.says("It cannot be refunded.")]
    result = world.run()
    assert (result.outcome, result.answer) == ("success", "It cannot be refunded.")
    assert world.refund_calls == []


def test_a_refund_of_an_order_that_cannot_be_refunded_is_refused(world, wire):
    world.order["refundable"] = False
    world.script = [wire.lookup(), wire.refund(), wire.says("It cannot be refunded.")]
    assert world.run().outcome == "success"
    assert world.refund_calls == []


def test_both_calls_in_one_turn_run_in_order(world, wire):
    both = wire.calls(("orders_lookup", {"order": 7}), ("payments_refund", {"order": 7, "amount": 20}))
    world.script = [both, wire.says("Refunded.")]
    assert world.run().outcome == "success"
    assert world.ledger == {"r1:3": 20}


def test_a_part_of_the_amount_may_be_refunded_but_not_more(world, wire):
    world.script = [wire.lookup(), wire.refund(21), wire.refund(20), wire.says("Refunded.")]
    assert world.run().outcome == "success"
    assert world.ledger == {"r1:6": 20}
    assert "no more than that" in str(world.requests[2]["messages"][-1]["content"])


@pytest.mark.parametrize(
    ("turn", "code"),
    [
        (lambda wire: wire.refund(), "not_allowed"),
        (lambda wire: wire.calls(("payments_refnd", {})), "unknown_tool"),
        (lambda wire: wire.lookup(8), "guard"),
        (lambda wire: wire.says("I have refunded it!"), "not_done"),
        (lambda wire: wire.says(""), "empty_turn"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_reason_and_then_the_task_goes_on(world, wire, turn, code):
    world.script.insert(0, turn(wire))
    result = world.run()
    assert result.outcome == "success"
    assert world.steps()[1] == (2, 1, world.steps()[1][2], "failed", code)
    assert len(world.ledger) == 1


def test_an_unknown_tool_is_answered_with_the_name_that_was_meant(world, wire):
    world.script.insert(0, wire.calls(("payments_refnd", {})))
    world.run()
    assert "Did you mean 'payments.refund'?" in world.told()[0]


def test_only_the_order_that_was_looked_up_is_refunded(world, wire):
    world.script.insert(1, wire.refund(order=8))
    assert world.run(text="refund order 7, not 8").outcome == "success"
    assert [order for order, _, _ in world.refund_calls] == [7]


def test_a_task_of_another_version_of_the_workflow_is_refused(world, payer):
    world.run()
    other = payer(Effect.PURE)
    with pytest.raises(InputChanged) as refused:
        world.play(lambda runtime: runtime.resume("r1"), other.build)
    assert refused.value.code == "workflow_changed"


def test_the_same_request_id_with_another_text_is_refused(world):
    world.run()
    with pytest.raises(InputChanged):
        world.run(text="refund order 8")
    assert len(world.ledger) == 1


def test_a_task_that_nobody_knows_cannot_be_resumed(world):
    with pytest.raises(AgentError) as refused:
        world.play(lambda runtime: runtime.resume("r9"))
    assert refused.value.code == "unknown_task"


def test_one_runtime_runs_a_task_once_at_a_time_and_two_tasks_side_by_side(world):
    async def twice(runtime):
        return await asyncio.gather(
            runtime.run(request_id="r1", text="refund order 7"),
            runtime.run(request_id="r1", text="refund order 7"),
            runtime.run(request_id="r2", text="refund order 7"),
            return_exceptions=True,
        )

    first, second, other = world.play(twice)
    assert first.outcome == other.outcome == "success"
    assert isinstance(second, Conflict)
    assert "running here" in str(second)
    assert world.ledger == {"r1:4": 20, "r2:4": 20}


def test_the_runtime_describes_itself_as_plain_data(world):
    told = world.play(lambda runtime: _later(runtime.describe()))
    assert json.loads(json.dumps(told)) == told
    assert told["limits"]["attempts"] == 5
    assert [c["name"] for c in told["contracts"]] == ["orders.lookup", "payments.refund"]


async def _later(value):
    return value


def test_an_observer_sees_what_the_audit_keeps(world):
    world.run()
    kept = [{k: v for k, v in row.items() if k != "at"} for row in asyncio.run(world.store.audit("r1"))]
    seen = [{k: v for k, v in row.items() if k != "request_id"} for row in world.observed]
    assert seen == kept
    moves = [row for row in seen if row["kind"] == "transition"]
    assert all(a["to"] == b["from"] for a, b in itertools.pairwise(moves))
