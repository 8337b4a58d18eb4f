"""The throttle: how many at once, how many a minute, in which order, and what a cancelled caller leaves behind."""

import asyncio
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfsm.agents.support_refund import CONTRACTS
from agentfsm.errors import Throttled
from agentfsm.recovery import Deadline
from agentfsm.throttle import Throttle, throttle_of


class Virtual:
    """Sleepers wake in the order of their times, whenever everything else has come to rest."""

    def __init__(self):
        self.now = 0.0
        self.sleepers = []

    def monotonic(self):
        return self.now

    async def sleep(self, delay_s):
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + delay_s, len(self.sleepers), future))
        await future

    async def run(self, until):
        for _ in range(3):
            await settle()
        while due := [s for s in self.sleepers if not s[2].done() and s[0] <= until]:
            at, _, future = min(due, key=lambda s: s[:2])
            self.now = max(self.now, at)
            future.set_result(None)
            await settle()
        self.now = until
        await settle()


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def limited(**limits):
    return replace(CONTRACTS[0], **limits)


class Bench:
    def __init__(self, **limits):
        self.clock = Virtual()
        self.throttle = Throttle(limited(**limits), self.clock)
        self.begun, self.refused = [], {}
        self.busy = self.peak = 0

    async def call(self, name, lasts_s=0.0, left_s=1e6):
        try:
            async with self.throttle.slot(Deadline.after(self.clock, left_s)):
                self.begun.append((name, self.clock.now))
                self.busy += 1
                self.peak = max(self.peak, self.busy)
                try:
                    await self.clock.sleep(lasts_s)
                finally:
                    self.busy -= 1
        except Throttled as error:
            self.refused[name] = error.retry_after_s


def play(scene):
    async def bounded():
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(bounded())


def test_a_contract_that_limits_nothing_has_no_throttle():
    assert throttle_of(CONTRACTS[0], Virtual()) is None
    assert throttle_of(limited(concurrency=1), Virtual()) is not None
    assert throttle_of(limited(per_minute=1), Virtual()) is not None


def test_no_more_run_at_once_than_the_contract_says_and_they_begin_in_order():
    async def scene():
        bench = Bench(concurrency=2)
        calls = [asyncio.create_task(bench.call(i, lasts_s=10)) for i in range(5)]
        await bench.clock.run(100)
        await asyncio.gather(*calls)
        assert bench.begun == [(0, 0), (1, 0), (2, 10), (3, 10), (4, 20)]
        assert bench.peak == 2

    play(scene)


def test_a_slow_tool_takes_no_slot_of_another():
    async def scene():
        slow, quick = Bench(concurrency=1), Bench(concurrency=1)
        calls = [asyncio.create_task(slow.call(i, lasts_s=1e5)) for i in range(3)]
        await settle()
        calls.append(asyncio.create_task(quick.call("quick")))
        await settle()
        assert quick.begun == [("quick", 0)]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    play(scene)


def test_a_burst_begins_at_once_and_the_next_one_after_a_minute():
    async def scene():
        bench = Bench(per_minute=3)
        calls = [asyncio.create_task(bench.call(i)) for i in range(7)]
        await bench.clock.run(200)
        await asyncio.gather(*calls)
        assert bench.begun == [(0, 0), (1, 0), (2, 0), (3, 60), (4, 60), (5, 60), (6, 120)]

    play(scene)


def test_half_a_call_a_minute_is_one_in_two():
    async def scene():
        bench = Bench(per_minute=0.5)
        calls = [asyncio.create_task(bench.call(i)) for i in range(3)]
        await bench.clock.run(500)
        await asyncio.gather(*calls)
        assert [at for _, at in bench.begun] == [0, 120, 240]

    play(scene)


def test_who_cannot_begin_in_time_is_refused_at_once_and_told_when():
    async def scene():
        bench = Bench(per_minute=2)
        calls = [asyncio.create_task(bench.call(i, left_s=30)) for i in range(3)]
        calls += [asyncio.create_task(bench.call("patient", left_s=90))]
        calls += [asyncio.create_task(bench.call(f"late {i}", left_s=90)) for i in range(3)]
        await settle()
        assert bench.clock.now == 0
        assert bench.refused == {2: 60, "late 1": 120, "late 2": 120}
        await bench.clock.run(100)
        await asyncio.gather(*calls)
        assert bench.begun == [(0, 0), (1, 0), ("patient", 60), ("late 0", 60)]

    play(scene)


def test_who_finds_no_slot_before_the_deadline_is_refused_and_nothing_was_sent():
    async def scene():
        bench = Bench(concurrency=1)
        holder = asyncio.create_task(bench.call("holder", lasts_s=10))
        await settle()
        await bench.call("late", left_s=0.01)
        assert bench.refused == {"late": None}
        await bench.clock.run(20)
        await holder
        await asyncio.gather(bench.call("next"), bench.clock.run(30))
        assert [name for name, _ in bench.begun] == ["holder", "next"]

    play(scene)


def test_no_time_left_begins_nothing_even_where_a_slot_is_free():
    async def scene():
        bench = Bench(concurrency=1)
        await bench.call("late", left_s=0)
        assert (bench.begun, bench.refused) == ([], {"late": None})

    play(scene)


@settings(max_examples=40, deadline=None)
@given(
    concurrency=st.none() | st.integers(1, 3),
    per_minute=st.none() | st.sampled_from([0.5, 1, 2, 3.5, 6]),
    arrivals=st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from([0, 1, 30]), st.none() | st.integers(0, 60)),
        min_size=1,
        max_size=8,
    ),
)
def test_whoever_comes_and_gives_up_both_limits_hold_and_no_slot_is_lost(concurrency, per_minute, arrivals):
    async def scene():
        bench = Bench(concurrency=concurrency, per_minute=per_minute)
        calls, moves = [], []
        for number, (at, lasts_s, patience_s) in enumerate(sorted(arrivals, key=lambda a: a[0])):
            moves.append((at, number, lasts_s, "come"))
            if patience_s is not None:
                moves.append((at + patience_s, number, 0, "go"))
        for at, number, lasts_s, what in sorted(moves, key=lambda m: (m[0], m[3] == "go", m[1])):
            await bench.clock.run(max(at, bench.clock.now))
            if what == "come":
                calls.append(asyncio.create_task(bench.call(number, lasts_s)))
            else:
                calls[number].cancel()
            await settle()
        await bench.clock.run(5_000)
        await asyncio.gather(*calls, return_exceptions=True)
        starts = [at for _, at in bench.begun]
        assert bench.peak <= (concurrency or 99)
        if per_minute is not None:
            most = max(1, int(per_minute))
            later = zip(starts, starts[most:], strict=False)
            assert all(b - a >= 60 * most / per_minute - 1e-6 for a, b in later)
        assert bench.refused == {}
        stayed = {i for i, a in enumerate(sorted(arrivals, key=lambda a: a[0])) if a[2] is None}
        assert stayed <= {name for name, _ in bench.begun}
        order = [name for name, _ in bench.begun]
        assert order == sorted(order)
        last = asyncio.create_task(bench.call("last"))
        await bench.clock.run(10_000)
        await last
        assert bench.begun[-1][0] == "last"

    play(scene)


def test_a_throttle_serves_one_loop_after_the_other():
    bench = Bench(concurrency=1)

    async def crowd():
        calls = [asyncio.create_task(bench.call(i, lasts_s=1)) for i in range(3)]
        await bench.clock.run(bench.clock.now + 10)
        await asyncio.gather(*calls)

    asyncio.run(crowd())
    asyncio.run(crowd())
    assert len(bench.begun) == 6


def test_the_error_says_which_tool_and_survives_pickling():
    async def scene():
        bench = Bench(per_minute=1)
        await asyncio.gather(bench.call("first"), bench.clock.run(1))
        with pytest.raises(Throttled, match=r"orders\.lookup: no call can begin within the 5\.0 s that") as caught:
            async with bench.throttle.slot(Deadline.after(bench.clock, 5)):
                raise AssertionError("unreachable")
        back = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert (back.code, back.retry_after_s, back.fields["tool"]) == ("throttled", 59.0, "orders.lookup")

    play(scene)
