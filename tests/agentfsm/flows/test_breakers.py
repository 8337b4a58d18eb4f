"""A breaker in the flow: opens, keeps calls away, lets one probe through, closes; shared by all who share the store."""

import asyncio

from agentfsm import Effect, Limits, SQLiteStore
from agentfsm.breaker import Breaker
from agentfsm.fallbacks import Degraded
from agentfsm.recovery import Retry

BUSY = {"status": "temporary_error", "error_code": "busy"}
GONE = {"status": "permanent_error", "error_code": "gone"}


def reading(lab, kit, failures=99, threshold=3, cool_s=30.0, **options):
    read = lab.tool("read")
    read.script = [BUSY] * failures
    lab.options.update(model=(), breaker=Breaker(threshold=threshold, cool_s=cool_s))
    lab.flow(kit.own("READ", ("read", 1)), answers=lambda _b: "Read.", **options)
    return read


def state(lab):
    async def main():
        return (await lab.store.controls())[1]

    held = asyncio.run(main()).get("breaker:read")
    return None if held is None else held.value["state"]


def test_a_tool_that_works_has_no_breaker_at_all(lab, kit):
    reading(lab, kit, failures=0)
    assert (lab.run().outcome, state(lab)) == ("success", None)


def test_it_opens_and_the_task_is_parked_until_it_may_be_tried_again(lab, kit):
    read = reading(lab, kit, failures=3)
    assert lab.run().outcome == "success"
    assert (len(read.calls), state(lab)) == (4, "closed")
    assert max(lab.clock.pauses) >= 20, "the open breaker was not waited for"
    codes = [step[4] for step in lab.steps()]
    assert codes in (["busy"] * 3 + [None], ["busy"] * 3 + ["breaker_open", None])


def test_while_it_is_open_other_tasks_do_not_call_the_tool(lab, kit):
    read = reading(lab, kit)
    lab.options["patience_s"] = 5.0
    lab.limits = Limits(attempts=3)
    lab.run()
    assert (len(read.calls), state(lab)) == (3, "open")
    result = lab.run("r2")
    assert (result.cause, len(read.calls)) == ("running", 3)
    assert lab.steps("r2")[0][4] == "breaker_open"
    assert lab.task("r2").owner is None
    assert lab.task("r2").next_run_at >= 1000 + 30


def test_with_a_fallback_nobody_waits_for_it(lab, kit):
    read = reading(lab, kit, fallbacks={"read": (Degraded({"value": 0}),)})
    lab.limits = Limits(attempts=3)
    assert lab.run().outcome == "partial"
    pauses = len(lab.clock.pauses)
    result = lab.run("r2")
    assert (result.outcome, result.cause, len(read.calls)) == ("partial", "degraded", 3)
    assert len(lab.clock.pauses) == pauses
    assert lab.steps("r2") == [(1, 1, "read", "failed", "breaker_open"), (2, 1, "read", "success", "degraded")]


def test_a_step_in_doubt_waits_for_it_and_does_not_fall_back(lab, kit):
    pay = lab.tool("pay", Effect.IDEMPOTENT)
    pay.script = [TimeoutError()] * 3
    lab.options.update(model=(), breaker=Breaker(threshold=3, cool_s=30.0))
    lab.flow(kit.own("PAY", ("pay", 1)), answers=lambda _b: "Paid.", fallbacks={"pay": (Degraded({"value": 0}),)})
    assert lab.run().outcome == "success"
    assert pay.effects == ["r1:1"]


def test_half_open_one_probe_is_let_through_and_its_success_closes_it(lab, kit):
    read = reading(lab, kit, failures=3, threshold=3)
    lab.limits = Limits(attempts=3)
    lab.run()
    lab.clock.now += 31
    begun, meeting = asyncio.Event(), asyncio.Event()

    async def slow(_n):
        begun.set()
        await meeting.wait()

    read.script = [slow]

    async def main(runtime):
        async def second():
            await begun.wait()
            assert (await runtime.store.controls())[1]["breaker:read"].value["state"] == "half_open"
            blocked = await lab.runtime(patience_s=0.0).run(request_id="r3", text="go")
            meeting.set()
            return blocked

        return await asyncio.gather(runtime.run(request_id="r2", text="go"), second())

    probe, blocked = lab.play(main)
    assert (probe.outcome, blocked.cause, len(read.calls)) == ("success", "running", 4)
    assert state(lab) == "closed"


def test_a_probe_that_fails_opens_it_again(lab, kit):
    read = reading(lab, kit)
    lab.limits = Limits(attempts=3)
    lab.options["patience_s"] = 5.0
    lab.run()
    lab.clock.now += 31
    lab.run("r2")
    assert (len(read.calls), state(lab)) == (4, "open")


def test_refusals_and_bad_input_do_not_open_it(lab, kit):
    read = reading(lab, kit, threshold=1)
    read.script = [GONE, {"status": "invalid_input"}]
    lab.run()
    lab.run("r2")
    assert (len(read.calls), state(lab)) == (2, None)


def test_two_runtimes_over_one_store_count_together_and_both_hear_of_it(lab, kit):
    read = reading(lab, kit, threshold=4)
    lab.limits = Limits(attempts=2)

    async def main():
        other = SQLiteStore(lab.world.path)
        one, two = lab.runtime(), lab.runtime(store=other, patience_s=0.0, retry=Retry(attempts=2))
        await one.run(request_id="r1", text="go")
        await two.run(request_id="r2", text="go")
        lab.clock.now = (await other.load("r2")).next_run_at
        await two.run(request_id="r2", text="go")
        assert len(read.calls) == 4
        third = await one.run(request_id="r3", text="go")
        await other.close()
        return third

    result = asyncio.run(main())
    assert len(read.calls) <= 5
    assert lab.steps("r3")[0][4] == "breaker_open"
    assert result.outcome == "failed"


def test_dying_anywhere_while_it_opens_and_closes_ends_well(deaths, kit):
    def set_up(lab):
        reading(lab, kit, failures=2, threshold=2, cool_s=10.0)
        lab.limits = Limits(attempts=9)

    for lab, result in deaths(set_up, lambda lab: lab.run()):
        assert result.outcome == "success"
        assert state(lab) == "closed"


def incidents(lab):
    async def read(runtime):
        return [incident.code for incident in await runtime.store.incidents()]

    return lab.play(read)


def test_a_breaker_that_opens_is_an_incident_and_its_turns_are_on_record(lab, kit):
    reading(lab, kit, failures=3)
    lab.run()
    assert incidents(lab) == ["breaker_opened"]
    assert [row["state"] for row in lab.notes("breaker")] == ["open", "half_open", "closed"]


def test_failures_that_open_no_breaker_are_none(lab, kit):
    reading(lab, kit, failures=2)
    lab.run()
    assert (incidents(lab), lab.notes("breaker")) == ([], [])
