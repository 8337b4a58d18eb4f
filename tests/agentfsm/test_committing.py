"""A store that is busy, or whose acknowledgement is lost, costs time and nothing else."""

import asyncio
from dataclasses import replace

import pytest

from agentfsm import Effect
from agentfsm.errors import StoreError


def breaks(world, number, side, times=1, code=None):
    """Let commits from that number on fail before or after they are written, so many times."""
    real, seen = world.store.commit, []

    async def commit(change):
        seen.append(change)
        fails = number <= len(seen) < number + times
        if fails and side == "before":
            raise StoreError("database is locked", code=code)
        version = await real(change)
        if fails:
            raise StoreError("the connection was lost", code=code)
        return version

    world.store.commit = commit


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 7))
def test_one_failure_at_any_commit_changes_neither_the_answer_nor_the_world(world, number, side):
    breaks(world, number, side)
    result = world.run()
    assert (result.outcome, result.answer, len(world.refund_calls)) == ("success", "Refunded.", 1)
    versions = [row["version"] for row in world.observed if row["kind"] == "transition"]
    assert sorted(set(versions)) == list(range(1, 7))
    assert asyncio.run(world.store.load("r1")).version == 6
    assert len(world.clock.pauses) == 1


def test_a_store_that_stays_broken_is_given_up_and_the_task_can_go_on_later(world):
    breaks(world, 3, "before", times=5)
    with pytest.raises(StoreError):
        world.run()
    assert len(world.clock.pauses) == 4
    assert world.run().outcome == "success"
    assert len(world.ledger) == 1


def test_what_no_repetition_can_heal_is_not_repeated(world):
    breaks(world, 1, "before", code="store_closed")
    with pytest.raises(StoreError):
        world.run()
    assert world.clock.pauses == []


def test_a_write_that_reaches_the_database_after_it_was_given_up_is_found(world):
    """The connection is lost, the task is read, and only then the statement takes effect: no conflict with oneself."""
    real, seen = world.store.commit, []

    async def commit(change):
        seen.append(change)
        if len(seen) == 3:
            raise StoreError("the connection was lost", code="unavailable")
        if len(seen) == 4:
            await real(change)
        return await real(change)

    world.store.commit = commit
    result = world.run()
    assert (result.outcome, len(world.refund_calls)) == ("success", 1)
    assert seen[2] == seen[3]
    assert asyncio.run(world.store.load("r1")).version == 6


@pytest.mark.parametrize("code", ["locked", "unavailable"])
def test_what_may_pass_by_itself_is_tried_again(world, code):
    breaks(world, 2, "before", code=code)
    assert world.run().outcome == "success"
    assert len(world.clock.pauses) == 1


@pytest.mark.parametrize("number", range(1, 6))
def test_a_state_that_json_gives_back_in_another_form_is_known_as_ones_own(world, payer, number):
    """A tuple comes back as a list, a number that is a key as a text: a lost acknowledgement is no conflict."""
    paying = payer(Effect.IDEMPOTENT)
    fold, odd = paying.workflow.fold, {"pair": (1, 2), "by_day": {1: (2.5,)}}
    paying.workflow = replace(paying.workflow, fold=lambda *given: {**fold(*given), **odd})
    breaks(world, number, "after")
    result = paying.run()
    assert (result.outcome, len(paying.paid)) == ("success", 1)
    assert asyncio.run(world.store.load("r1")).business_state["by_day"] == {"1": [2.5]}
