"""Time never jumps over work that is really going on, and does jump over work that only sleeps."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.to_thread
import pytest

from pytest_agent.clock import Clock, VirtualClockWarning, _real

Real = Callable[[], float]
WORK_S = 0.05


def works() -> str:
    """Real work: virtual time must run beside it."""
    until = _real.perf_counter() + WORK_S
    while _real.perf_counter() < until:
        hash("work" * 1000)
    return "done"


async def in_asyncio() -> str:
    return await asyncio.to_thread(works)


async def in_anyio() -> str:
    return await anyio.to_thread.run_sync(works)


async def in_an_executor() -> str:
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, works)


async def asleep_in_asyncio() -> None:
    await asyncio.to_thread(time.sleep, 60)


async def asleep_in_anyio() -> None:
    await anyio.to_thread.run_sync(time.sleep, 60)


@pytest.mark.parametrize("work", [in_asyncio, in_anyio, in_an_executor])
def test_a_deadline_does_not_fire_while_a_thread_works(installed: Clock, work: Callable[[], object]) -> None:
    async def main() -> str:
        async with asyncio.timeout(5):
            return await work()  # type: ignore[misc]

    assert asyncio.run(main()) == "done"
    assert installed.elapsed_s == 0
    assert installed.waits == []


@pytest.mark.parametrize("work", [in_asyncio, in_anyio, in_an_executor])
def test_work_runs_at_real_pace_once_it_is_no_longer_short(work: Callable[[], object]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await work()  # type: ignore[misc]

    with Clock(still_s=0).installed() as clock:
        asyncio.run(main())
    assert WORK_S <= clock.elapsed_s < 5


def test_one_short_job_after_the_other_reaches_its_deadline() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.01):
            while True:
                await asyncio.to_thread(int)

    with Clock(still_s=0.02).installed(), pytest.raises(TimeoutError):
        asyncio.run(main())


def test_many_short_jobs_cost_no_virtual_time(installed: Clock) -> None:
    async def main() -> None:
        for _ in range(50):
            await asyncio.to_thread(hash, "work")

    asyncio.run(main())
    assert installed.elapsed_s == 0


@pytest.mark.parametrize("work", [in_asyncio, in_anyio, in_an_executor])
def test_a_deadline_fires_at_its_moment_during_work(work: Callable[[], object]) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        fired = loop.create_future()
        loop.call_later(WORK_S / 5, lambda: fired.set_result(loop.time()))
        await work()  # type: ignore[misc]
        return fired.result()

    with Clock(still_s=0).installed():
        assert WORK_S / 5 <= asyncio.run(main()) - 1000 < 4


@pytest.mark.parametrize("sleep", [asleep_in_asyncio, asleep_in_anyio])
def test_a_thread_that_sleeps_is_not_at_work(installed: Clock, sleep: Callable[[], object], really_took: Real) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(100):
            await sleep()  # type: ignore[misc]
        return loop.time()

    assert asyncio.run(main()) - 1000 == pytest.approx(60, abs=2)
    assert really_took() < 2


@pytest.mark.parametrize("sleep", [asleep_in_asyncio, asleep_in_anyio])
def test_a_deadline_before_the_threads_wake_up_fires(installed: Clock, sleep: Callable[[], object]) -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.shield(asyncio.ensure_future(sleep()))  # type: ignore[call-overload]
        return time.monotonic()

    assert asyncio.run(main()) - 1000 == pytest.approx(10, abs=2)


def test_a_result_reaches_the_loop_before_time_jumps(installed: Clock) -> None:
    async def main() -> None:
        for _ in range(300):
            async with asyncio.timeout(3600):
                await asyncio.to_thread(int)

    asyncio.run(main())
    assert installed.elapsed_s < 60


def test_busy_work_holds_time(installed: Clock, really_took: Real) -> None:
    done = threading.Event()

    async def main() -> None:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def deliver() -> None:
            done.wait()
            loop.call_soon_threadsafe(arrived.set)

        with installed.busy("a writer thread"):
            assert installed.in_flight == ["a writer thread"]
            threading.Thread(target=deliver).start()
            loop.call_later(0.02, done.set)
            async with asyncio.timeout(60):
                await arrived.wait()

    asyncio.run(main())
    assert 0.02 <= installed.elapsed_s < 30
    with installed.busy("a clean-up"):
        time.sleep(0.02)
    assert really_took() >= 0.04
    time.sleep(60)
    assert really_took() < 30


def test_socket_operations_hold_time(installed: Clock) -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:

        async def main() -> bytes:
            loop = asyncio.get_running_loop()
            loop.call_later(0.02, there.send, b"late")
            async with asyncio.timeout(60):
                return await loop.sock_recv(here, 10)

        assert asyncio.run(main()) == b"late"
    assert 0.02 <= installed.elapsed_s < 30


def test_jobs_wait_their_turn_in_virtual_time(installed: Clock, really_took: Real) -> None:
    # When one worker sleeps through four jobs, the queued ones are no work either
    with ThreadPoolExecutor(1) as pool:
        ended = list(pool.map(lambda _: (time.sleep(900), time.monotonic())[1], range(4)))
    assert [round(at) for at in ended] == [1900, 2800, 3700, 4600]
    assert really_took() < 5


def test_anyio_workers_wait_for_their_limiter_in_virtual_time(installed: Clock, really_took: Real) -> None:
    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(lambda: anyio.to_thread.run_sync(time.sleep, 100, limiter=limiter))

    anyio.run(main)
    assert round(installed.elapsed_s) == 300
    assert really_took() < 5


def test_threads_wake_in_the_order_of_virtual_time(installed: Clock, really_took: Real) -> None:
    woke: list[int] = []

    def sleeps(hours: int) -> None:
        time.sleep(3600 * hours)
        woke.append(hours)

    threads = [threading.Thread(target=sleeps, args=(hours,)) for hours in (3, 1, 5, 2, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert woke == [1, 2, 3, 4, 5]
    assert round(installed.elapsed_s) == 5 * 3600
    assert really_took() < 5


def test_the_test_and_its_thread_sleep_side_by_side(installed: Clock) -> None:
    woke: list[str] = []
    thread = threading.Thread(target=lambda: (time.sleep(60), woke.append("thread")))
    thread.start()
    time.sleep(30)
    woke.append("test")
    thread.join()
    assert woke == ["test", "thread"]
    assert round(installed.elapsed_s) == 60


def test_time_stands_still_while_the_test_computes(installed: Clock) -> None:
    # When a thread sleeps and the test works, nobody knows yet what else the test will wait for
    thread = threading.Thread(target=time.sleep, args=(60,))
    thread.start()
    works()
    assert installed.elapsed_s < 30
    thread.join()
    assert installed.elapsed_s >= 60


def test_a_test_that_waits_out_of_sight_waits_really_and_is_told(really_took: Real) -> None:
    clock = Clock()

    def hands_over() -> None:
        time.sleep(0.3)
        lock.release()

    clock.install()
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=hands_over)
    thread.start()
    lock.acquire()
    thread.join()
    with pytest.warns(VirtualClockWarning, match=r"the thread of the test, at .*test_real_work\.py:"):
        clock.uninstall()
    assert really_took() >= 0.3
    assert clock.elapsed_s == pytest.approx(0.3, abs=0.25)


def test_joining_a_pool_that_ends_does_not_let_a_sleeper_jump(installed: Clock) -> None:
    thread = threading.Thread(target=time.sleep, args=(3600,))
    thread.start()
    for _ in range(50):
        with ThreadPoolExecutor(2) as pool:
            pool.submit(int).result()
    assert installed.elapsed_s < 60
    thread.join()


def test_a_job_that_looks_whether_a_thread_is_alive_is_at_work(installed: Clock) -> None:
    thread = threading.Thread(target=time.sleep, args=(3600,))
    thread.start()
    until = _real.perf_counter() + WORK_S

    def looks() -> None:
        while _real.perf_counter() < until:
            assert thread.is_alive()
            threading.Event().wait(0)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(looks).result()
    assert installed.elapsed_s < 60
    thread.join()


def test_a_sync_program_waits_for_workers_that_sleep(installed: Clock, really_took: Real) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(time.sleep, 3600) for _ in range(4)]
        for job in jobs:
            job.result()
    assert round(installed.elapsed_s) == 3600
    assert really_took() < 5


def test_a_job_that_waits_for_another_one_does_not_hold_time(installed: Clock, really_took: Real) -> None:
    def outer() -> None:
        with ThreadPoolExecutor(2) as inner:
            list(inner.map(time.sleep, (3600, 1800)))

    async def main() -> None:
        await asyncio.to_thread(outer)

    asyncio.run(main())
    assert round(installed.elapsed_s) == 3600
    assert really_took() < 5


def test_a_blocking_program_inside_a_coroutine_does_not_lock_up(installed: Clock, really_took: Real) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(time.sleep, 600).result()

    asyncio.run(main())
    assert round(installed.elapsed_s) == 600
    assert really_took() < 5


def test_a_loop_in_another_thread_shares_the_time(installed: Clock, really_took: Real) -> None:
    async def naps() -> float:
        await asyncio.sleep(1800)
        return time.monotonic()

    with anyio.from_thread.start_blocking_portal() as portal:
        assert round(portal.call(naps)) == 2800
    assert really_took() < 5


def test_threads_hand_over_through_a_queue_at_the_right_times(installed: Clock) -> None:
    parcels: queue.Queue[float] = queue.Queue()

    def sends() -> None:
        for _ in range(5):
            time.sleep(600)
            parcels.put(time.monotonic())

    thread = threading.Thread(target=sends)
    thread.start()
    received = [(parcels.get(), time.monotonic()) for _ in range(5)]
    thread.join()
    assert [round(sent) for sent, _ in received] == [1600, 2200, 2800, 3400, 4000]
    assert all(got - sent < 300 for sent, got in received)


def test_uninstalling_releases_who_sleeps(really_took: Real) -> None:
    clock = Clock()
    with clock.installed():
        with clock.busy("so that nothing jumps"):
            threads = [threading.Thread(target=time.sleep, args=(3600,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            clock.uninstall()
        for thread in threads:
            thread.join()
    assert clock.elapsed_s < 60
    assert really_took() < 5


def test_a_cancelled_job_is_not_in_flight(installed: Clock, really_took: Real) -> None:
    release = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(release.wait)
        second = pool.submit(int)
        assert second.cancel()
        release.set()
        first.result()
    time.sleep(3600)
    assert installed.elapsed_s >= 3600
    assert really_took() < 5


def test_a_job_that_raises_is_not_in_flight(installed: Clock, really_took: Real) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()
    time.sleep(3600)
    assert really_took() < 5
