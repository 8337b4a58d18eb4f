"""One worker at a time: who has a task, who may take it over, and what a zombie can still do."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from agentfsm import Commit, Conflict, SQLiteStore, State, leases
from agentfsm.records import Task

ELSEWHERE = "linux:other-boot:pid:[1]/7/abc"


def own(world, owner, left_s=30.0):
    """Leave the task to an owner."""
    until = world.clock.now + left_s
    query = "UPDATE task SET owner = ?, lease_until = ?"
    asyncio.run(world.store.inner._file.write(lambda db: db.execute(query, (owner, until))))


def died(world, killed, point=(3, "after")):
    world.restart(die=point)
    with pytest.raises(killed):
        world.run()
    world.restart()


def stored(world):
    return asyncio.run(world.store.load("r1"))


class Two:
    """Two workers with stores of their own; the first hangs inside the refund until it is let go."""

    def __init__(self, world):
        self.world, self.inside, self.go = world, asyncio.Event(), asyncio.Event()
        real = world.tools["payments.refund"]

        async def slow(**arguments):
            if not self.inside.is_set():
                self.inside.set()
                await self.go.wait()
            return await real(**arguments)

        world.tools["payments.refund"] = slow

    async def start(self, runtime):
        chat = runtime._newest.models[0]
        self.first = self.world.runtime(chat)
        self.job = asyncio.create_task(self.first.run(request_id="r1", text="refund order 7"))
        await self.inside.wait()
        self.mine, self.world.store = self.world.store, SQLiteStore(self.world.path)
        return self.world.runtime(chat)

    async def stop(self):
        await self.mine.close()


def test_a_second_worker_on_a_live_lease_is_told_so_and_does_nothing(world):
    async def main(runtime):
        two = Two(world)
        second = await two.start(runtime)
        before, asked = await world.store.load("r1"), len(world.requests)
        with pytest.raises(Conflict) as busy:
            await second.run(request_id="r1", text="refund order 7")
        assert (busy.value.code, busy.value.fields["left_s"]) == ("busy", 30.0)
        assert (await world.store.load("r1"), len(world.requests)) == (before, asked)
        two.go.set()
        result = await two.job
        await two.stop()
        return result

    assert world.play(main).outcome == "success"
    assert len(world.refund_calls) == 1


@pytest.mark.parametrize("how", ["run after it", "resume through it"])
def test_a_lease_that_ran_out_is_taken_over_and_the_zombie_cannot_commit(world, how):
    async def main(runtime):
        two = Two(world)
        second = await two.start(runtime)
        if how == "run after it":
            world.clock.now += 30
            result = await second.run(request_id="r1", text="refund order 7")
        else:
            result = await second.resume("r1")
            assert world.clock.pauses == [30.0]
        commits, rows = (await world.store.load("r1")).version, await world.store.audit("r1")
        two.go.set()
        with pytest.raises(Conflict) as zombie:
            await two.job
        assert zombie.value.code == "fenced"
        assert (await world.store.load("r1")).version == commits
        assert await world.store.audit("r1") == rows
        await two.stop()
        return result

    assert world.play(main).outcome == "success"
    assert {key for _, _, key in world.refund_calls} == {"r1:4"}
    assert len(world.ledger) == 1


def test_a_zombie_that_is_cancelled_cannot_cancel_the_task_of_another(world):
    async def main(runtime):
        two = Two(world)
        second = await two.start(runtime)
        world.clock.now += 30
        again = asyncio.Event()
        real = world.tools["payments.refund"]

        async def slow(**arguments):
            again.set()
            await two.go.wait()
            return await real(**arguments)

        world.tools["payments.refund"] = slow
        second = world.runtime(runtime._newest.models[0])
        job = asyncio.create_task(second.run(request_id="r1", text="refund order 7"))
        await again.wait()
        two.job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await two.job
        two.go.set()
        result = await job
        await two.stop()
        return result

    assert world.play(main).outcome == "success"


def test_a_resume_gives_way_to_a_worker_that_is_still_going_on(world, killed):
    died(world, killed)
    own(world, ELSEWHERE)

    async def renewed(delay_s):
        world.clock.now += delay_s
        task = await world.store.load("r1")
        await world.store.inner.commit(Commit("alive", replace(task, lease_until=world.clock.now + 30), 1.0))

    world.clock.sleep = renewed
    with pytest.raises(Conflict) as busy:
        world.play(lambda runtime: runtime.resume("r1"))
    assert busy.value.code == "busy"
    assert world.ledger == {}


def test_a_worker_that_died_elsewhere_is_waited_out(world, killed):
    died(world, killed)
    own(world, ELSEWHERE)
    with pytest.raises(Conflict):
        world.run()
    assert world.play(lambda runtime: runtime.resume("r1")).outcome == "success"
    assert world.clock.pauses == [30.0]


def test_a_run_of_this_process_that_is_over_is_not_waited_for(world, killed):
    died(world, killed)
    assert stored(world).owner.split("/")[1] == str(os.getpid())
    assert world.run().outcome == "success"
    assert world.clock.pauses == []


def test_a_process_of_this_machine_that_is_gone_is_not_waited_for(world, killed):
    died(world, killed)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    place = stored(world).owner.rsplit("/", 2)[0]
    own(world, f"{place}/{child.pid}/abc")
    with pytest.raises(Conflict):
        world.run()
    child.communicate(b"\n")
    assert world.run().outcome == "success"


def test_without_proc_only_this_process_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(leases, "Path", lambda _name: tmp_path / "nothing")
    leases._place.cache_clear()
    try:
        task = Task("r1", "t", "w", State.PLANNING, "S", 1.0, lease_until=9.0)
        with leases.owner() as name:
            assert name.startswith("process:")
            assert leases.left(replace(task, owner=name), 1.0) == 8.0
        assert leases.left(replace(task, owner=name), 1.0) == 0.0
        place, _pid, rest = name.rsplit("/", 2)
        assert leases.left(replace(task, owner=f"{place}/999999999/{rest}"), 1.0) == 8.0
    finally:
        leases._place.cache_clear()


def test_the_lease_is_prolonged_by_every_commit_and_given_back_at_the_end(world):
    world.run()
    tasks = [change.task for change in world.store.commits]
    assert [task.fence for task in tasks] == [1] * 6
    assert [change.claims for change in world.store.commits] == [True, *[False] * 5]
    assert {task.lease_until - world.clock.now for task in tasks[:-1]} == {30.0}
    assert (tasks[-1].owner, tasks[-1].lease_until) == (None, 0.0)


def test_a_lease_lasts_at_least_as_long_as_a_step_may_take(world):
    world.limits = replace(world.limits, step_s=90.0)
    world.run()
    assert world.store.commits[0].task.lease_until == world.clock.now + 90


def test_every_claim_raises_the_fence(world, killed):
    died(world, killed)
    world.run()
    assert stored(world).fence == 2


def test_of_two_that_claim_at_once_one_gets_the_task(world, killed):
    died(world, killed)

    async def both(runtime):
        other = SQLiteStore(world.path)
        mine, world.store = world.store, other
        second = world.runtime(runtime._newest.models[0])
        results = await asyncio.gather(runtime.resume("r1"), second.resume("r1"), return_exceptions=True)
        await mine.close()
        return results

    results = world.play(both)
    assert sorted(type(result).__name__ for result in results) in (
        ["Conflict", "TaskResult"],
        ["TaskResult", "TaskResult"],
    )
    assert world.run().outcome == "success"
    assert len(world.refund_calls) == 1


@pytest.mark.parametrize(("fence", "claims", "good"), [(2, False, True), (1, False, False), (3, False, False)])
def test_the_store_refuses_a_stale_fence_even_at_the_right_version(world, fence, claims, good):
    store = world.store.inner
    task = Task("r1", "t", "w", State.PLANNING, "S", 1.0, fence=1)
    asyncio.run(store.commit(Commit("first", task, 1.0, claims=True)))
    asyncio.run(store.commit(Commit("take over", replace(task, version=1, fence=2), 1.0, claims=True)))
    change = Commit("then", replace(task, version=2, fence=fence), 1.0, audit=({"kind": "x"},), claims=claims)
    if good:
        assert asyncio.run(store.commit(change)).version == 3
        return
    with pytest.raises(Conflict) as stale:
        asyncio.run(store.commit(change))
    assert stale.value.code == "fenced"
    assert asyncio.run(store.load("r1")).version == 2
    assert asyncio.run(store.audit("r1")) == []


def test_a_task_that_moves_on_while_it_is_being_read_is_a_conflict(world, killed):
    died(world, killed)
    store = world.store.inner
    real, moved = store.steps, []

    async def steps(name):
        if not moved:
            moved.append(await store.load(name))
            await store.commit(Commit("other", moved[0], 1.0))
        return await real(name)

    world.store.steps = steps
    with pytest.raises(Conflict, match="moved on"):
        world.run()
    assert world.run().outcome == "success"
