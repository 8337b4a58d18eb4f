import asyncio

import pytest

from agentfsm import Effect

POINTS = [(number, side) for number in range(1, 7) for side in ("before", "after")]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[1]}-{point[0]}")
def test_dying_at_any_commit_leaves_one_refund_and_the_same_answer(world, killed, point):
    world.restart(die=point)
    with pytest.raises(killed):
        world.run()
    world.restart()
    result = world.run()
    assert (result.outcome, result.answer) == ("success", "Refunded.")
    assert world.ledger == {"r1:4": 20}
    finished = [step[:1] for step in world.steps() if step[3] == "success"]
    assert finished == [(1,), (2,), (3,), (4,), (5,)]


@pytest.mark.parametrize("again", POINTS, ids=lambda point: f"{point[1]}-{point[0]}")
def test_dying_again_while_resuming_changes_nothing(world, killed, again):
    world.restart(die=(4, "after"))
    with pytest.raises(killed):
        world.run()
    world.restart(die=again)
    try:
        world.run()
    except killed:
        world.restart()
    result = world.run()
    assert (result.outcome, result.answer) == ("success", "Refunded.")
    assert world.ledger == {"r1:4": 20}


def test_a_step_that_succeeded_is_never_run_again(world, killed):
    world.restart(die=(3, "after"))
    with pytest.raises(killed):
        world.run()
    assert world.lookups == [7]
    world.restart()
    world.run()
    assert world.lookups == [7]


def test_an_attempt_under_way_is_marked_in_doubt_and_repeated_with_the_same_key(world, killed):
    world.breaks("payments.refund", killed(), after_effect=True)
    with pytest.raises(killed):
        world.run()
    world.restart()
    assert world.run().outcome == "success"
    assert world.steps()[3:5] == [
        (4, 1, "payments.refund", "in_doubt", "interrupted"),
        (4, 2, "payments.refund", "success", None),
    ]
    assert {key for _, _, key in world.refund_calls} == {"r1:4"}
    assert world.clock.pauses == []


def test_a_clean_run_marks_nothing_in_doubt(world):
    world.run()
    assert not [step for step in world.steps() if step[4]]


def test_an_unsafe_effect_under_way_waits_for_a_person(world, payer, killed):
    pay = payer(Effect.UNSAFE)
    pay.replies = [killed()]
    with pytest.raises(killed):
        pay.run()
    world.restart()
    result = pay.run()
    assert (result.outcome, result.cause, result.state) == ("unknown", "interrupted", "WAITING_EXTERNAL")
    assert [entry["key"] for entry in result.unknown] == ["r1:2"]
    assert pay.run() == result
    assert pay.paid == ["r1:2"]


def test_waiting_ends_with_the_deadline_of_the_task_and_stays_unknown(world, payer, killed):
    pay = payer(Effect.UNSAFE)
    pay.replies = [TimeoutError()]
    assert pay.run().state == "WAITING_EXTERNAL"
    world.clock.now += world.limits.wall_s
    result = pay.run()
    assert (result.outcome, result.state) == ("unknown", "FAILED")


def test_a_resume_under_another_version_of_the_prompt_is_refused(world, killed):
    world.restart(die=(2, "before"))
    with pytest.raises(killed):
        world.run()
    world.restart()
    store = world.store.inner
    task = asyncio.run(store.load("r1"))
    assert task.version == 1
    asyncio.run(store._file.write(lambda db: db.execute("UPDATE agent_steps SET input_hash = 'other'")))
    with pytest.raises(Exception, match="opened with another request"):
        world.run()
