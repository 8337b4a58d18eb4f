"""Pauses are durable and outside the lease: anybody may go on after one, and nobody loses or repeats an attempt."""

import pytest
from pydantic import BaseModel

from agentfsm import Effect, Limits, SQLiteStore, Stage
from agentfsm.waits import Wait

BUSY = {"status": "temporary_error"}
DAY = 86_400.0


class Empty(BaseModel):
    pass


def paying(lab, kit, effect=Effect.UNSAFE, failures=1):
    pay = lab.tool("pay", effect)
    pay.script = [BUSY] * failures
    lab.options["model"] = ()
    lab.flow(kit.own("PAY", ("pay", 7)), answers=lambda _b: "Paid.")
    return pay


def test_a_pause_is_stored_with_the_next_attempt_and_without_a_lease(lab, kit):
    pay = paying(lab, kit)
    lab.options["patience_s"] = 0.0
    result = lab.run()
    assert (result.outcome, result.cause, len(pay.calls)) == ("partial", "running", 1)
    task = lab.task()
    assert (task.owner, task.lease_until) == (None, 0.0)
    assert task.next_run_at > lab.clock.now
    assert lab.steps()[-1] == (1, 2, "pay", "pending", None)
    assert lab.clock.pauses == []


def test_a_run_with_patience_waits_the_pause_out(lab, kit):
    paying(lab, kit)
    lab.options["patience_s"] = 10.0
    assert lab.run().outcome == "success"
    assert len(lab.clock.pauses) == 1


def test_before_its_time_the_attempt_is_not_made_and_after_it_it_is(lab, kit):
    pay = paying(lab, kit)
    lab.options["patience_s"] = 0.0
    lab.run()
    assert (lab.run().cause, len(pay.calls)) == ("running", 1)
    lab.clock.now = lab.task().next_run_at
    assert (lab.run().outcome, pay.effects) == ("success", ["r1:1"])
    assert [step[1] for step in lab.steps()] == [1, 2]


def test_a_process_that_dies_in_a_pause_loses_no_attempt(lab, kit, killed):
    pay = paying(lab, kit)
    real = lab.clock.sleep

    async def die(_delay_s):
        raise killed

    lab.clock.sleep = die
    with pytest.raises(killed):
        lab.run()
    lab.world.restart()
    lab.clock.sleep = real
    assert (lab.run().outcome, pay.effects) == ("success", ["r1:1"])
    assert lab.steps() == [(1, 1, "pay", "failed", "temporary_error"), (1, 2, "pay", "success", None)]


def test_dying_at_any_commit_around_pauses_never_repeats_an_unsafe_effect(deaths, kit):
    for lab, result in deaths(lambda lab: paying(lab, kit, failures=2), lambda lab: lab.run()):
        assert result.outcome in {"success", "unknown"}
        assert len(lab.tools["pay"].effects) <= 1
        assert (result.outcome == "unknown") == bool(result.unknown)


def test_another_runtime_may_take_over_in_a_pause_and_the_sleeper_says_how_things_are(lab, kit):
    pay = paying(lab, kit, failures=1)
    real = lab.clock.sleep
    others = []

    async def taken_over(delay_s):
        lab.clock.sleep = real
        await real(delay_s)
        store = SQLiteStore(lab.world.path)
        others.append(await lab.runtime(store=store).resume("r1"))
        await store.close()

    lab.clock.sleep = taken_over
    result = lab.run()
    assert (others[0].outcome, result) == ("success", others[0])
    assert pay.effects == ["r1:1"]


def test_a_sleeper_whose_task_was_only_claimed_elsewhere_leaves_it_alone(lab, kit):
    pay = paying(lab, kit, failures=1)
    real = lab.clock.sleep

    async def claimed(delay_s):
        lab.clock.sleep = real
        await real(delay_s)
        store = SQLiteStore(lab.world.path)
        found = await store.claim("elsewhere/1/abc", lab.runtime().labels, lab.clock.time(), 30.0, 9)
        assert [task.request_id for task in found] == ["r1"]
        await store.close()

    lab.clock.sleep = claimed
    result = lab.run()
    assert (result.outcome, result.cause, len(pay.calls)) == ("partial", "running", 1)
    assert lab.task().owner == "elsewhere/1/abc"


def test_a_pause_that_no_longer_fits_the_deadline_of_the_task_is_not_begun(lab, kit):
    paying(lab, kit, failures=9)
    lab.limits = Limits(wall_s=3)
    result = lab.run()
    assert result.outcome == "failed"
    assert sum(lab.clock.pauses) < 3


def test_the_attempts_of_a_step_are_counted_over_all_its_lives(lab, kit):
    pay = paying(lab, kit, failures=9)
    lab.options["patience_s"] = 0.0
    lab.limits = Limits(attempts=3)
    for _ in range(9):
        result = lab.run()
        lab.clock.now += 10
    assert (result.outcome, result.cause, len(pay.calls)) == ("failed", "temporary_error", 3)


def timer(lab, kit, days=3):
    """A stage that waits for nothing but time, and then goes on."""
    lab.tool("remind", Effect.IDEMPOTENT)
    lab.options["model"] = ()
    wait = Wait(
        cause="cooling_off",
        source="nobody",
        kinds=frozenset(),
        payload=Empty,
        timeout_s=days * DAY,
        timeout_cause="never",
        tell=lambda _kind, _payload: "",
        begins_when=lambda b: not b.get("cooled"),
        expired=lambda b: {**b, "cooled": True},
        says="See you in three days.",
    )
    lab.flow(
        Stage("COOL", frozenset(), lambda b: bool(b.get("cooled")), wait),
        kit.own("REMIND", ("remind", 1)),
        answers=lambda _b: "Reminded.",
    )


def test_a_timer_of_three_days_goes_on_by_itself(lab, kit):
    timer(lab, kit)
    result = lab.run()
    assert (result.outcome, result.cause, result.answer) == ("partial", "cooling_off", "See you in three days.")
    assert lab.task().next_run_at == 1000 + 3 * DAY
    lab.clock.now += 3 * DAY - 1
    assert lab.run() == result
    lab.clock.now += 1
    assert (lab.run().outcome, lab.task().waited_s) == ("success", 3 * DAY)
    assert lab.tools["remind"].effects == ["r1:1"]


def test_dying_anywhere_around_a_timer_reminds_once(deaths, kit):
    def life(lab):
        result = lab.run()
        while result.cause == "cooling_off":
            lab.clock.now = lab.task().next_run_at
            result = lab.run()
        return result

    for lab, result in deaths(lambda lab: timer(lab, kit), life):
        assert (result.outcome, lab.tools["remind"].effects) == ("success", ["r1:1"])
