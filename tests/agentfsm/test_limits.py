"""Budgets, honest ends, cancellation."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from agentfsm import AgentError, Effect, Limits


@pytest.mark.parametrize(
    ("limits", "cause", "commits"),
    [
        ({"steps": 4}, "limit_steps", 5),
        ({"model_calls": 2}, "limit_model_calls", 5),
        ({"tool_calls": 1}, "limit_tool_calls", 4),
        ({"tokens": 10}, "limit_tokens", 1),  # what is thought not to fit is not sent
    ],
)
def test_a_budget_that_runs_out_ends_in_limit(world, limits, cause, commits):
    world.limits = Limits(**limits)
    result = world.run()
    assert (result.outcome, result.cause, result.state) == ("limit", cause, "FAILED")
    assert len(world.store.commits) == commits


def test_a_budget_that_just_suffices_stays_quiet(world):
    world.limits = Limits(steps=5, model_calls=3, tool_calls=2)
    assert world.run().outcome == "success"


def test_failed_attempts_count_too(world, wire):
    world.limits = Limits(model_calls=3)
    world.first = [wire.error(503)]
    assert world.run().cause == "limit_model_calls"


def test_the_budget_is_not_refilled_by_a_resume(world, killed):
    world.limits = Limits(model_calls=3)
    world.restart(die=(2, "before"))
    with pytest.raises(killed):
        world.run()
    world.restart()
    assert world.run().cause == "limit_model_calls"


def test_usage_is_counted_as_reported_and_never_as_zero(world, wire):
    def used():
        return asyncio.run(world.store.load("r1")).budget_used["tokens"]

    reported = {"choices": [], "usage": {"prompt_tokens": 400, "completion_tokens": 100}}
    chunks = [wire.call_chunk("orders_lookup", {"order": 7}, "c1"), wire.chunk("tool_calls")]
    world.limits = Limits(steps=1)
    world.script[0] = wire.stream(*chunks, reported)
    world.run()
    assert used() == 500


@pytest.mark.parametrize("broken", [httpx.ReadTimeout("late"), None], ids=["silence", "cut"])
def test_an_attempt_that_broke_off_is_charged_for(world, wire, broken):
    def used(request_id):
        return asyncio.run(world.store.load(request_id)).budget_used["tokens"]

    world.run()
    world.first = [broken or wire.stream(wire.chunk(content="x"), done=False)]
    world.run(request_id="r2")
    assert used("r2") > used("r1")


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}], ids=str)
def test_missing_usage_is_estimated(world, wire, usage):
    chunks = [wire.call_chunk("orders_lookup", {"order": 7}, "c1"), wire.chunk("tool_calls")]
    world.script[0] = wire.stream(*chunks, {"choices": [], "usage": usage})
    world.limits = Limits(steps=1)
    world.run()
    assert asyncio.run(world.store.load("r1")).budget_used["tokens"] > 50


def test_the_fourth_identical_call_is_not_made(world, wire):
    world.script = [wire.lookup()] * 9
    result = world.run()
    assert (result.outcome, result.cause) == ("limit", "limit_same_call")
    assert world.lookups == [7, 7, 7]


def test_three_identical_calls_are_fine(world, wire):
    world.script = [wire.lookup()] * 3 + world.script[1:] + [wire.says("unused")]
    assert world.run().outcome == "success"


def test_a_task_has_a_deadline_over_all_its_steps(world, wire):
    world.limits = Limits(wall_s=5)
    world.first = [wire.error(429, "rate_limit_exceeded", retry_after="4") for _ in range(9)]
    assert world.run().outcome == "failed"
    assert sum(world.clock.pauses) <= 5


def test_no_step_is_begun_after_the_deadline_of_the_task(world):
    world.limits = Limits(wall_s=0.5)
    real = world.tools["orders.lookup"]

    def slow(order):
        world.clock.now += 1
        return real(order)

    world.tools["orders.lookup"] = slow
    result = world.run()
    assert (result.outcome, result.cause) == ("limit", "limit_wall_s")
    assert len(world.requests) == 1


def test_a_pause_that_fits_no_more_into_the_deadline_of_a_step_is_the_stages_and_all_layers_share_one_cap(world, wire):
    world.first = [wire.error(503, retry_after="14") for _ in range(9)]
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "overloaded")
    assert len(world.requests) == Limits().attempts
    assert sum(world.clock.pauses[:2]) <= Limits().step_s < world.clock.pauses[2] + sum(world.clock.pauses[:2])


def test_a_retry_after_beyond_the_deadline_of_a_step_parks_the_task_without_a_lease(world, wire):
    world.first = [wire.error(429, retry_after="100")]
    assert world.run().outcome == "success"
    assert 100 <= world.clock.pauses[0] < 120
    parked = world.store.commits[1].task
    assert (parked.owner, parked.lease_until) == (None, 0.0)
    assert parked.next_run_at >= 1100


def test_a_retry_after_beyond_the_deadline_of_the_task_is_not_waited_for(world, wire):
    world.first = [wire.error(429, retry_after="1000")]
    result = world.run()
    assert (result.outcome, result.cause, world.clock.pauses) == ("failed", "rate_limit", [])


def test_the_word_of_the_model_alone_is_never_a_success(world, wire):
    world.script = [wire.says("Done, I refunded it!")] * 9
    result = world.run()
    assert (result.outcome, result.cause, result.answer) == ("failed", "not_done", "")
    assert "not done" in world.told()[-1]
    assert len(world.requests) == 3


def test_corrections_are_counted_anew_after_a_real_step(world, wire):
    vain = wire.says("Hm.")
    world.script = [vain, vain, wire.lookup(), vain, vain, wire.refund(), wire.says("Refunded.")]
    assert world.run().outcome == "success"


def test_a_partial_success_is_what_the_workflow_calls_one(world, payer, wire):
    pay = payer(Effect.IDEMPOTENT)
    pay.workflow = replace(pay.workflow, done_when=lambda _: False, partial_when=lambda b: "receipt" in b)
    result = pay.run()
    assert (result.outcome, result.state) == ("partial", "DONE")


@pytest.mark.parametrize("field", ["steps", "wall_s", "attempts", "same_call"])
def test_a_limit_that_allows_nothing_is_refused(field):
    with pytest.raises(AgentError, match=field):
        Limits(**{field: 0})


def hanging(world, tool, started):
    real = world.tools[tool]

    async def hang(**arguments):
        await asyncio.sleep(0) if tool == "orders.lookup" else await real(**arguments)
        started.set()
        await asyncio.Event().wait()

    world.tools[tool] = hang


@pytest.mark.parametrize(("tool", "unknown"), [("orders.lookup", 0), ("payments.refund", 1)])
def test_a_cancelled_task_ends_as_cancelled_and_says_what_is_in_doubt(world, tool, unknown):
    async def cancel_while_running(runtime):
        started = asyncio.Event()
        hanging(world, tool, started)
        runtime = world.runtime(runtime._newest.models[0])
        job = asyncio.create_task(runtime.run(request_id="r1", text="refund order 7"))
        await started.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
        return await runtime.resume("r1")

    result = world.play(cancel_while_running)
    assert (result.outcome, result.state) == ("cancelled", "FAILED")
    assert len(result.unknown) == unknown
    before = len(world.requests)
    assert world.run() == result
    assert len(world.requests) == before


def test_a_cancel_during_a_pause_leaves_no_doubt(world):
    world.breaks("payments.refund", {"status": "temporary_error"})

    async def cancelled(delay_s):
        raise asyncio.CancelledError

    world.clock.sleep = cancelled
    with pytest.raises(asyncio.CancelledError):
        world.run()
    result = world.run()
    assert (result.outcome, result.unknown) == ("cancelled", [])


def test_a_silent_connection_is_cut_when_the_task_is_cancelled(world):
    class Silent(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self):
            waiting.set()
            await asyncio.Event().wait()
            yield b""

        async def aclose(self):
            Silent.closed = True

    waiting = asyncio.Event()

    async def main(runtime):
        job = asyncio.create_task(runtime.run(request_id="r1", text="refund order 7"))
        await waiting.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    world.first = [httpx.Response(200, headers=world.wire.EVENTS, stream=Silent())]
    world.play(main)
    assert Silent.closed
    assert world.run().outcome == "cancelled"
