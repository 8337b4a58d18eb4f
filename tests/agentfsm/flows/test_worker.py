"""Workers take up whatever has something to do and nobody is at, and none of them stops at what goes wrong."""

import asyncio

import pytest

from agentfsm import AgentError, Effect, Limits, SQLiteStore, Stage
from agentfsm.errors import StoreError
from agentfsm.worker import Worker

BUSY = {"status": "temporary_error"}


def paying(lab, kit, effect=Effect.IDEMPOTENT, **options):
    pay = lab.tool("pay", effect)
    lab.options["model"] = ()
    lab.flow(kit.own("PAY", ("pay", 7)), answers=lambda _b: "Paid.", **options)
    return pay


class Shift:
    """Workers over one file; each has a store of its own, as another process would."""

    def __init__(self, lab):
        self.lab, self.reports, self.stores, self.stop = lab, [], [], None

    def worker(self, **options):
        runtime = {name: options.pop(name) for name in ("observer", "patience_s") if name in options}
        store = SQLiteStore(self.lab.world.path)
        self.stores.append(store)

        def report(name, result):
            self.reports.append((name, result))
            if name and self.stop is not None:
                self.stop.set()

        return Worker(self.lab.runtime(store=store, **runtime), report=report, **options)

    async def close(self):
        for store in self.stores:
            await store.close()

    def outcomes(self):
        return {name: getattr(result, "outcome", None) or result.code for name, result in self.reports}


@pytest.fixture
def shift(lab):
    return Shift(lab)


def work(shift, *names, lab=None, **options):
    """Submit these tasks, and let one worker work until nothing is left to do now."""

    async def main():
        runtime = shift.lab.runtime()
        for name in names:
            await runtime.submit(request_id=name, text="go")
        await asyncio.wait_for(shift.worker(**options).until_idle(), 20)
        await shift.close()

    asyncio.run(main())


def test_what_is_submitted_is_done_by_a_worker(lab, kit, shift):
    pay = paying(lab, kit)
    work(shift, "r1", "r2", "r3")
    assert shift.outcomes() == {"r1": "success", "r2": "success", "r3": "success"}
    assert sorted(pay.effects) == ["r1:1", "r2:1", "r3:1"]


def test_a_task_that_is_submitted_twice_is_one(lab, kit, shift):
    pay = paying(lab, kit)
    work(shift, "r1", "r1")
    assert (lab.run().outcome, pay.effects) == ("success", ["r1:1"])


def test_time_in_the_queue_does_not_count_against_the_task(lab, kit, shift):
    paying(lab, kit)

    async def main():
        await lab.runtime().submit(request_id="r1", text="go")

    asyncio.run(main())
    lab.clock.now += 2 * Limits().wall_s
    work(shift)
    assert shift.outcomes() == {"r1": "success"}


def test_no_more_tasks_are_at_hand_than_it_may_have(lab, kit, shift):
    pay = paying(lab, kit)
    now, most = [0], [0]
    three = asyncio.Barrier(3)

    async def count(_n):
        now[0] += 1
        most[0] = max(most[0], now[0])
        await three.wait()
        now[0] -= 1

    pay.script = [count] * 9
    work(shift, *[f"r{i}" for i in range(9)], concurrency=3)
    assert (most[0], len(pay.effects)) == (3, 9)


def test_a_pause_longer_than_a_look_is_left_to_the_store(lab, kit, shift):
    pay = paying(lab, kit)
    pay.script = [{"status": "temporary_error"}] * 2
    work(shift, "r1", poll_s=0.0001)
    assert [r.cause for _, r in shift.reports] == ["running"]
    assert (lab.task().owner, lab.clock.pauses) == (None, [])
    lab.clock.now = lab.task().next_run_at
    work(shift, poll_s=0.0001)
    lab.clock.now = lab.task().next_run_at
    work(shift, poll_s=0.0001)
    assert shift.outcomes() == {"r1": "success"}
    assert [step[1:] for step in lab.steps()] == [
        (1, "pay", "failed", "temporary_error"),
        (2, "pay", "failed", "temporary_error"),
        (3, "pay", "success", None),
    ]


def test_an_unsafe_call_after_a_pause_is_no_doubt_for_the_worker_that_takes_it_up(lab, kit, shift):
    pay = paying(lab, kit, Effect.UNSAFE)
    pay.script = [BUSY]
    work(shift, "r1", poll_s=0.0001)
    lab.clock.now = lab.task().next_run_at
    work(shift, poll_s=0.0001)
    assert (shift.outcomes(), pay.effects) == ({"r1": "success"}, ["r1:1"])


def test_a_worker_and_a_sleeping_run_of_one_runtime_do_not_take_the_task_from_each_other(lab, kit):
    """Whoever is later finds it taken; nobody waits for a lease that nobody uses."""
    pay = paying(lab, kit, Effect.UNSAFE)
    pay.script = [BUSY]
    real = lab.clock.sleep

    async def main(runtime):
        async def sleep(delay_s):
            lab.clock.sleep = real
            await real(delay_s)
            await Worker(runtime).until_idle()

        lab.clock.sleep = sleep
        return await runtime.run(request_id="r1", text="go")

    assert lab.play(main).outcome == "success"
    assert (lab.task().outcome, pay.effects, lab.clock.now < 1010) == ("success", ["r1:1"], True)


def test_a_task_that_crashes_stops_neither_the_worker_nor_the_others(lab, kit, shift):
    def poisoned(_business, arguments):
        if lab.clock.now and crash.pop(0):
            raise KeyError("no such thing")

    crash = [True, False, False]
    paying(lab, kit, guards={"pay": poisoned})
    work(shift, "r1", "r2", "r3", concurrency=1)
    assert sorted(shift.outcomes().values()) == ["crashed", "success", "success"]
    (error,) = [result for _, result in shift.reports if isinstance(result, AgentError)]
    assert "KeyError" in str(error)
    assert isinstance(error.__cause__, KeyError)


def test_a_task_that_crashed_is_taken_up_again_after_its_lease(lab, kit, shift):
    crash = [True, False]
    paying(lab, kit, guards={"pay": lambda _b, _a: 1 / 0 if crash.pop(0) else None})
    work(shift, "r1")
    assert shift.outcomes() == {"r1": "crashed"}
    lab.clock.now += 30
    work(shift)
    assert shift.outcomes() == {"r1": "success"}


def test_a_store_that_fails_for_a_moment_does_not_stop_the_worker(lab, kit, shift):
    paying(lab, kit)

    async def main():
        await lab.runtime().submit(request_id="r1", text="go")
        worker, stop = shift.worker(), asyncio.Event()
        store = shift.stores[0]
        real, fails = store.claim, [True]

        async def claim(*given):
            if fails:
                fails.pop()
                raise StoreError("no space left", code="disk_full")
            return await real(*given)

        store.claim = claim

        shift.stop = stop
        await asyncio.wait_for(worker.run(stop), 20)
        await shift.close()

    asyncio.run(main())
    assert shift.outcomes() == {"": "disk_full", "r1": "success"}


def test_asked_to_stop_it_finishes_what_is_at_hand_and_takes_nothing_more(lab, kit, shift):
    pay = paying(lab, kit)

    async def main():
        stop, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_n):
            stop.set()
            await go_on.wait()

        pay.script = [slow]
        for name in ("r1", "r2"):
            await lab.runtime().submit(request_id=name, text="go")
        job = asyncio.create_task(shift.worker(concurrency=1).run(stop))
        await stop.wait()
        go_on.set()
        await asyncio.wait_for(job, 20)
        await shift.close()

    asyncio.run(main())
    assert shift.outcomes() == {"r1": "success"}
    assert lab.task("r2").fsm_state == "INIT"


def test_a_worker_that_is_cut_off_leaves_its_tasks_to_the_next_one(lab, kit, shift):
    """The users of its tasks have cancelled nothing."""
    pay = paying(lab, kit)

    async def main():
        begun = asyncio.Event()

        async def hang(_n):
            begun.set()
            await asyncio.Event().wait()

        pay.script = [hang]
        await lab.runtime().submit(request_id="r1", text="go")
        job = asyncio.create_task(shift.worker().run(asyncio.Event()))
        await begun.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
        await shift.close()
        shift.stores.clear()

    asyncio.run(main())
    assert lab.task().outcome is None
    lab.clock.now += 30
    work(shift)
    assert (shift.outcomes(), pay.effects) == ({"r1": "success"}, ["r1:1"])


def test_two_workers_share_a_store_and_no_task_is_run_twice(lab, kit, shift):
    pay = paying(lab, kit)

    async def main():
        for i in range(20):
            await lab.runtime().submit(request_id=f"r{i}", text="go")
        workers = [shift.worker(concurrency=2) for _ in range(2)]
        await asyncio.wait_for(asyncio.gather(*(w.until_idle() for w in workers)), 60)
        await shift.close()

    asyncio.run(main())
    assert sorted(pay.effects) == sorted(f"r{i}:1" for i in range(20))
    assert len(pay.calls) == 20
    assert len(shift.reports) == 20


@pytest.mark.parametrize("steps_before", [1, 2])
def test_a_cancellation_asked_for_elsewhere_acts_within_one_step(lab, kit, shift, steps_before):
    for name in "abc":
        lab.tool(name, Effect.IDEMPOTENT)
    lab.options["model"] = ()
    lab.flow(*[kit.own(name.upper(), (name, 1)) for name in "abc"], answers=lambda _b: "Done.")

    async def ask(_n):
        other = SQLiteStore(lab.world.path)
        assert await other.request_cancel("r1")
        await other.close()

    lab.tools["abc"[steps_before - 1]].script = [ask]
    work(shift, "r1")
    assert shift.outcomes() == {"r1": "cancelled"}
    assert [len(lab.tools[name].effects) for name in "abc"] == [1, steps_before - 1, 0]
    assert lab.gapless()


def test_a_waiting_task_whose_cancellation_is_asked_for_is_ended_by_a_worker(lab, kit, shift):
    wipe = lab.tool("wipe", Effect.UNSAFE, destructive=True)
    lab.options["model"] = ()
    lab.flow(kit.own("W", ("wipe", 1)), answers=lambda _b: "")
    work(shift, "r1")
    assert shift.reports[-1][1].cause == "needs_approval"

    async def ask():
        return await lab.store.request_cancel("r1")

    assert asyncio.run(ask())
    work(shift)
    assert (shift.outcomes(), wipe.calls) == ({"r1": "cancelled"}, [])
    assert not asyncio.run(ask())


def test_a_cancelled_task_that_is_still_undoing_is_not_taken_up_before_its_time(lab, kit, shift):
    """Its cancellation was heard: what is left has its own times."""
    lab.tool("book", Effect.IDEMPOTENT)
    lab.tool("pay", Effect.IDEMPOTENT)
    release = lab.tool("release", Effect.IDEMPOTENT, compensates="book")
    release.script = [BUSY]
    lab.options["model"] = ()
    undo = {"book": lambda arguments, _output: {"n": 1}}
    lab.flow(kit.own("B", ("book", 1)), kit.own("P", ("pay", 1)), answers=lambda _b: "", compensations=undo)

    async def ask(_n):
        await lab.store.request_cancel("r1")

    lab.tools["book"].script = [ask]
    work(shift, "r1", poll_s=0.0001)
    assert len(release.calls) == 1
    assert lab.task().version < 10
    lab.clock.now = lab.task().next_run_at
    work(shift)
    assert (shift.outcomes(), len(release.effects)) == ({"r1": "cancelled"}, 1)


def test_a_wait_whose_time_is_over_is_found_by_a_worker(lab, kit, shift):
    wipe = lab.tool("wipe", Effect.UNSAFE, destructive=True)
    lab.options.update(model=(), approval_s=60)
    lab.flow(kit.own("W", ("wipe", 1)), answers=lambda _b: "")
    work(shift, "r1")
    lab.clock.now += 59
    work(shift)
    assert shift.reports[-1][1].cause == "needs_approval"
    lab.clock.now += 1
    work(shift)
    assert (shift.reports[-1][1].cause, wipe.calls) == ("approval_expired", [])


def test_an_effect_in_doubt_is_asked_about_again_by_a_worker_and_in_vain_looks_give_the_lease_back(lab, kit, shift):
    pay = paying(lab, kit, Effect.UNSAFE)
    pay.script = [TimeoutError()]
    work(shift, "r1")
    assert shift.outcomes() == {"r1": "unknown"}
    assert lab.task().owner is None
    lab.clock.now = lab.task().next_run_at
    work(shift)
    assert (lab.task().fsm_state, lab.task().outcome, len(pay.calls)) == ("FAILED", "unknown", 1)


def test_a_tool_that_can_be_asked_is_asked_by_the_worker_after_a_while(lab, kit, shift):
    pay = paying(lab, kit, Effect.QUERYABLE)
    down = [True]
    real = pay.query

    async def query(idempotency_key):
        if down:
            raise TimeoutError
        return await real(idempotency_key)

    pay.query, pay.script = query, [TimeoutError()]
    lab.limits = Limits(attempts=2)
    work(shift, "r1")
    assert (shift.outcomes(), lab.task().owner) == ({"r1": "unknown"}, None)
    down.clear()
    lab.limits = Limits(attempts=3)
    lab.clock.now = lab.task().next_run_at
    work(shift)
    assert (shift.outcomes(), pay.effects) == ({"r1": "success"}, ["r1:1"])


def test_held_by_an_operator_a_task_is_looked_at_again_and_goes_on_when_lifted(lab, kit, shift):
    paying(lab, kit)
    lab.control("kill:all", "pause")
    work(shift, "r1")
    for _ in range(3):
        assert (lab.task().owner, lab.task().next_run_at) == (None, lab.clock.now + 5)
        lab.clock.now += 100
        work(shift)
    lab.control("kill:all", "off")
    lab.clock.now += 5
    work(shift)
    assert shift.outcomes() == {"r1": "success"}
    assert lab.task().waited_s == 305
    assert lab.gapless()


def test_a_task_of_another_version_is_left_to_those_who_have_it(lab, kit, shift):
    paying(lab, kit, version=2)

    async def main():
        await lab.runtime().submit(request_id="r1", text="go")

    asyncio.run(main())
    lab.tools.clear()
    paying(lab, kit, version=1)
    work(shift)
    assert (shift.reports, lab.task().owner) == ([], None)


def test_a_timer_is_kept_by_a_worker(lab, kit, shift):
    from pydantic import BaseModel

    from agentfsm.waits import Wait

    class Empty(BaseModel):
        pass

    lab.options["model"] = ()
    wait = Wait(
        cause="later",
        source="nobody",
        kinds=frozenset(),
        payload=Empty,
        timeout_s=3 * 86_400,
        timeout_cause="never",
        tell=lambda _k, _p: "",
        begins_when=lambda b: True,
        expired=lambda b: {"cooled": True},
    )
    lab.flow(Stage("COOL", frozenset(), lambda b: bool(b.get("cooled")), wait), answers=lambda _b: "Done.")
    work(shift, "r1")
    lab.clock.now += 3 * 86_400 - 1
    work(shift)
    assert len(shift.reports) == 1
    lab.clock.now += 1
    work(shift)
    assert shift.outcomes() == {"r1": "success"}
