"""Who waits for another thread with a time-out waits in virtual time, and is woken at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import signal
import threading
import time
import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest

from pytest_agent.clock import Clock, VirtualClockWarning, _real

Real = Callable[[], float]
HOUR_S = 3600.0


class Way(ABC):
    """One way to wait for another thread."""

    @abstractmethod
    def wait(self, timeout_s: float) -> bool:
        """Whether it was woken in time."""

    @abstractmethod
    def wake(self) -> None: ...


class AnEvent(Way):
    def __init__(self) -> None:
        self.event = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        return self.event.wait(timeout_s)

    def wake(self) -> None:
        self.event.set()


class ACondition(Way):
    def __init__(self) -> None:
        self.condition, self.true = threading.Condition(), False

    def wait(self, timeout_s: float) -> bool:
        with self.condition, self.condition:  # a reentrant lock is let go as a whole
            return self.condition.wait(timeout_s)

    def wake(self) -> None:
        with self.condition:
            self.true = True
            self.condition.notify()


class APredicate(ACondition):
    def wait(self, timeout_s: float) -> bool:
        with self.condition:
            return self.condition.wait_for(lambda: self.true, timeout_s)


class AnEmptyQueue(Way):
    def __init__(self) -> None:
        self.queue: queue.Queue[int] = queue.Queue()

    def wait(self, timeout_s: float) -> bool:
        try:
            return self.queue.get(timeout=timeout_s) == 7
        except queue.Empty:
            return False

    def wake(self) -> None:
        self.queue.put(7)


class AFullQueue(Way):
    def __init__(self) -> None:
        self.queue: queue.Queue[int] = queue.Queue(1)
        self.queue.put(7)

    def wait(self, timeout_s: float) -> bool:
        try:
            self.queue.put(8, timeout=timeout_s)
        except queue.Full:
            return False
        return True

    def wake(self) -> None:
        assert self.queue.get() == 7


class AFuture(Way):
    def __init__(self) -> None:
        self.future: Future[int] = Future()

    def wait(self, timeout_s: float) -> bool:
        try:
            return self.future.result(timeout_s) == 7
        except TimeoutError:
            return False

    def wake(self) -> None:
        self.future.set_result(7)


class Futures(AFuture):
    def wait(self, timeout_s: float) -> bool:
        done, _ = concurrent.futures.wait([self.future], timeout_s)
        return done == {self.future}


class FuturesAsTheyComplete(AFuture):
    def wait(self, timeout_s: float) -> bool:
        try:
            return list(concurrent.futures.as_completed([self.future], timeout_s)) == [self.future]
        except TimeoutError:
            return False


class ASemaphore(Way):
    def __init__(self) -> None:
        self.semaphore = threading.Semaphore(0)

    def wait(self, timeout_s: float) -> bool:
        return self.semaphore.acquire(timeout=timeout_s)

    def wake(self) -> None:
        self.semaphore.release()


class ABarrier(Way):
    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)

    def wait(self, timeout_s: float) -> bool:
        try:
            self.barrier.wait(timeout_s)
        except threading.BrokenBarrierError:
            return False
        return True

    def wake(self) -> None:
        self.barrier.wait()


class AThread(Way):
    def __init__(self) -> None:
        self.go = threading.Event()
        self.thread = threading.Thread(target=self.go.wait, args=(100 * HOUR_S,))
        self.thread.start()

    def wait(self, timeout_s: float) -> bool:
        self.thread.join(timeout_s)
        return not self.thread.is_alive()

    def wake(self) -> None:
        self.go.set()


CONDITIONS = [
    *(AnEvent, ACondition, APredicate, AnEmptyQueue, AFullQueue, AFuture, Futures, FuturesAsTheyComplete),
    *(ASemaphore, ABarrier),
]
ways = pytest.mark.parametrize("make", [*CONDITIONS, AThread])
Make = Callable[[], Way]


def here(wait: Callable[[], bool]) -> bool:
    return wait()


def in_a_pool(wait: Callable[[], bool]) -> bool:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(wait).result()


def beside_a_loop(wait: Callable[[], bool]) -> bool:
    return asyncio.run(asyncio.to_thread(wait))


def in_a_thread(wait: Callable[[], bool]) -> bool:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(wait()))
    thread.start()
    thread.join()
    return answers[0]


places = pytest.mark.parametrize("place", [here, in_a_pool, beside_a_loop, in_a_thread])
Place = Callable[[Callable[[], bool]], bool]


def later(seconds: float, act: Callable[[], None]) -> threading.Thread:
    def work() -> None:
        time.sleep(seconds)
        act()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@ways
@places
def test_a_time_out_ends_at_its_virtual_second(installed: Clock, make: Make, place: Place, really_took: Real) -> None:
    way = make()
    assert not place(lambda: way.wait(HOUR_S))
    assert installed.elapsed_s == pytest.approx(HOUR_S, abs=1)
    if isinstance(way, AThread):
        way.wake()
    # On a busy machine a thread that is about to run is waited for.
    assert all(wait.seconds < 0.5 for wait in installed.waits)
    assert really_took() < 5


@pytest.mark.parametrize("make", CONDITIONS)
@pytest.mark.parametrize("seconds", [HOUR_S, 0.1, 1e-9, 1 / 3])
def test_it_is_exact(installed: Clock, make: Make, seconds: float) -> None:
    assert not make().wait(seconds)
    assert installed.elapsed_s == round(seconds, 9)


@ways
@places
def test_another_thread_wakes_it_at_once(installed: Clock, make: Make, place: Place, really_took: Real) -> None:
    way = make()
    waker = later(600, way.wake)
    assert place(lambda: way.wait(HOUR_S))
    assert installed.elapsed_s == pytest.approx(600, abs=2)
    waker.join()
    assert really_took() < 5


@ways
def test_the_thread_of_a_loop_wakes_it_at_once(installed: Clock, make: Make, really_took: Real) -> None:
    async def main() -> bool:
        way = make()
        asyncio.get_running_loop().call_later(600, way.wake)
        return await asyncio.to_thread(way.wait, HOUR_S)

    assert asyncio.run(main())
    assert installed.elapsed_s == pytest.approx(600, abs=1)
    assert really_took() < 5


@ways
def test_a_thread_from_before_the_clock_wakes_it_at_once(make: Make) -> None:
    begun, wakes = threading.Event(), []
    waker = threading.Thread(target=lambda: (begun.wait(), wakes[0]()))
    waker.start()
    with Clock().installed() as clock:
        way = make()
        wakes.append(way.wake)
        with clock.busy("what the other thread does"):
            begun.set()
            assert way.wait(HOUR_S)
        assert clock.elapsed_s < 60
    waker.join()


@ways
def test_what_has_happened_already_is_not_waited_for(installed: Clock, make: Make) -> None:
    if make in {ACondition, ABarrier}:
        return  # these keep nothing for who comes later
    way = make()
    way.wake()
    assert way.wait(HOUR_S)
    assert installed.elapsed_s < 60


def test_deadlines_of_threads_and_tasks_come_in_their_order(installed: Clock, really_took: Real) -> None:
    fired: list[tuple[str, int]] = []

    def waits(make: Make, hours: int) -> None:
        assert not make().wait(hours * HOUR_S)
        fired.append((make.__name__, round(installed.elapsed_s / HOUR_S)))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for make, hours in zip(CONDITIONS, (9, 3, 1, 7, 5, 13, 11, 15, 17, 19), strict=True):
                group.create_task(asyncio.to_thread(waits, make, hours))
            for hours in (2, 8, 14):
                await asyncio.sleep(hours * HOUR_S - installed.elapsed_s)
                fired.append(("loop", round(installed.elapsed_s / HOUR_S)))

    loop_executor = ThreadPoolExecutor(len(CONDITIONS))

    async def with_enough_workers() -> None:
        asyncio.get_running_loop().set_default_executor(loop_executor)
        await main()

    asyncio.run(with_enough_workers())
    hours = [at for _, at in fired]
    assert hours == sorted(hours) == [1, 2, 3, 5, 7, 8, 9, 11, 13, 14, 15, 17, 19]
    assert really_took() < 5


def test_a_timer_goes_off_in_virtual_time(installed: Clock, really_took: Real) -> None:
    at: list[float] = []
    timer = threading.Timer(HOUR_S, lambda: at.append(time.monotonic()))
    timer.start()
    never = threading.Timer(2 * HOUR_S, lambda: at.append(-1))
    never.start()
    timer.join(HOUR_S + 60)
    never.cancel()
    never.join(60)
    assert [round(moment) for moment in at] == [4600]
    assert installed.waits == []
    assert really_took() < 5


def test_a_heartbeat_beats_while_the_agent_works(installed: Clock, really_took: Real) -> None:
    beats: list[int] = []
    over = threading.Event()

    def beat() -> None:
        while not over.wait(60):
            beats.append(round(time.monotonic() - 1000))

    thread = threading.Thread(target=beat)
    thread.start()
    time.sleep(210)
    over.set()
    thread.join()
    assert beats == [60, 120, 180]
    assert really_took() < 5


def test_the_results_of_a_pool_time_out_one_after_the_other(installed: Clock, really_took: Real) -> None:
    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(TimeoutError):
            list(pool.map(time.sleep, (10, 20, 400), timeout=100))
        assert installed.elapsed_s == pytest.approx(100, abs=1)
    assert really_took() < 5


def test_a_thread_waits_for_a_coroutine_of_a_loop(installed: Clock, really_took: Real) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()

        def asks() -> float:
            with pytest.raises(TimeoutError):
                asyncio.run_coroutine_threadsafe(asyncio.sleep(HOUR_S), loop).result(timeout=60)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(40), loop).result(timeout=60)
            return installed.elapsed_s

        return await asyncio.to_thread(asks)

    assert asyncio.run(main()) == pytest.approx(100, abs=1)
    assert really_took() < 5


@pytest.mark.parametrize("seconds", [0, -1])
@ways
def test_no_time_is_no_wait(installed: Clock, make: Make, seconds: float) -> None:
    if isinstance(way := make(), (AnEmptyQueue, AFullQueue)) and seconds < 0:
        with pytest.raises(ValueError, match="non-negative"):
            way.wait(seconds)
    else:
        assert not way.wait(seconds)
    assert installed.elapsed_s < 1
    if isinstance(way, AThread):
        way.wake()


def test_who_does_not_hold_the_lock_is_told_so(installed: Clock) -> None:
    with pytest.raises(RuntimeError, match="un-acquired lock"):
        threading.Condition().wait(1)
    with pytest.raises(RuntimeError, match="before it is started"):
        threading.Thread().join(1)
    with pytest.raises(RuntimeError, match="current thread"):
        threading.current_thread().join(1)
    with pytest.raises(OverflowError):
        threading.Event().wait(float("inf"))
    assert installed.elapsed_s == 0


def test_one_notice_wakes_one_thread(installed: Clock) -> None:
    condition, woken = threading.Condition(), []

    def waits() -> None:
        with condition:
            woken.append(condition.wait(HOUR_S))

    threads = [threading.Thread(target=waits) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(60)
    for count in (1, 2):
        with condition:
            condition.notify(count)
        time.sleep(60)
    assert woken == [True] * 3
    threads_left = [thread for thread in threads if thread.is_alive()]
    assert len(threads_left) == 1
    threads_left[0].join()
    assert woken == [True] * 3 + [False]
    assert installed.elapsed_s == pytest.approx(HOUR_S, abs=2)
    assert not condition._waiters  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
@ways
def test_ctrl_c_interrupts_it(installed: Clock, make: Make, really_took: Real) -> None:
    def interrupts(*_: object) -> None:
        raise KeyboardInterrupt

    way = make()
    before = signal.signal(signal.SIGALRM, interrupts)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with installed.busy("something endless"), pytest.raises(KeyboardInterrupt):
            way.wait(HOUR_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # When the wait was interrupted, nothing of it is left behind
    time.sleep(60)
    if not isinstance(way, ABarrier):
        way.wake()
        assert way.wait(HOUR_S) or isinstance(way, ACondition)
    assert really_took() < 30


@ways
@pytest.mark.parametrize("again", [False, True], ids=["it stays away", "another one comes"])
def test_a_clock_that_goes_ends_the_time_out(make: Make, again: bool, really_took: Real) -> None:
    answers: list[bool] = []
    clock = Clock(monotonic_s=1e9)  # late: what is left of a time-out must not be taken for real seconds
    with clock.installed():
        with clock.busy("so that nothing jumps"):
            way = make()
            thread = threading.Thread(target=lambda: answers.append(way.wait(HOUR_S)))
            thread.start()
            while thread.ident not in clock._program.waiters:
                _real.sleep(0.001)
            clock.uninstall()
            other = Clock()
            if again:
                other.install()
        thread.join()
        other.uninstall()
    # A thread that is joined was released too, and may have ended by then.
    assert answers == [False] or make is AThread
    if isinstance(way, AThread):
        way.go.set()
        way.thread.join()
    assert really_took() < 10


def test_a_time_out_that_began_before_the_clock_is_real_to_its_end(really_took: Real) -> None:
    clock, parcels = Clock(), queue.Queue[int]()
    begun, over = threading.Event(), []

    def waits() -> None:
        begun.wait()
        try:
            parcels.get(timeout=0.3)
        except queue.Empty:
            over.append(clock.elapsed_s)

    with clock.installed():
        thread = threading.Thread(target=waits)  # of the test: it is so in its next phase too
        thread.start()
    begun.set()
    while not parcels.not_empty._waiters:  # type: ignore[attr-defined]
        _real.sleep(0.001)
    with clock.installed():
        with parcels.not_empty:
            parcels.not_empty.notify()
        thread.join()
    assert over == [0]
    assert 0.3 <= really_took() < 30


def test_a_thread_from_before_the_clock_waits_really() -> None:
    go, took_s = threading.Event(), []

    def naps() -> None:
        go.wait()
        began = _real.perf_counter()
        for make in CONDITIONS:
            assert not make().wait(0.01)
        took_s.append(_real.perf_counter() - began)

    thread = threading.Thread(target=naps)
    thread.start()
    with Clock().installed() as clock:
        go.set()
        thread.join()
    assert took_s[0] >= 0.01 * len(CONDITIONS)
    assert clock.elapsed_s == 0


def test_such_a_thread_is_joined_in_real_time(really_took: Real) -> None:
    thread = threading.Thread(target=_real.sleep, args=(0.1,))
    thread.start()
    with Clock().installed() as clock:
        thread.join(0.02)
        assert thread.is_alive()
        thread.join(60)
        assert not thread.is_alive()
    assert clock.elapsed_s == 0
    assert really_took() >= 0.1


def test_a_thread_that_is_declared_idle_waits_really(installed: Clock) -> None:
    took_s: list[float] = []

    def naps() -> None:
        began = _real.perf_counter()
        for make in CONDITIONS:
            assert not make().wait(0.01)
        took_s.append(_real.perf_counter() - began)

    installed.ignore_thread("server-*")
    thread = threading.Thread(target=naps, name="server-1")
    thread.start()
    thread.join(60)
    assert took_s[0] >= 0.01 * len(CONDITIONS)
    assert installed.elapsed_s == 0


@pytest.mark.parametrize(
    ("name", "is_virtual"), [("hypothesis.engine", False), ("execnet.gateway_base", False), ("an_agent", True)]
)
@pytest.mark.parametrize("make", CONDITIONS)
def test_the_test_run_itself_waits_really(installed: Clock, make: Make, name: str, is_virtual: bool) -> None:
    module = types.ModuleType(name)
    code = {
        AnEvent: "way.event.wait(0.01)",
        AnEmptyQueue: "way.queue.get(timeout=0.01)",
        AFullQueue: "way.queue.put(8, timeout=0.01)",
        AFuture: "way.future.result(0.01)",
        ASemaphore: "way.semaphore.acquire(timeout=0.01)",
        ABarrier: "way.barrier.wait(0.01)",
    }.get(make, "threading.Event().wait(0.01)")
    exec(f"import threading\ndef wait(way):\n    {code}", vars(module))  # noqa: S102 - an import
    way, began = make(), _real.perf_counter()
    with suppress(queue.Empty, queue.Full, TimeoutError, threading.BrokenBarrierError):
        module.wait(way)
    assert (_real.perf_counter() - began >= 0.01) is not is_virtual
    assert installed.elapsed_s == (0.01 if is_virtual else 0)


def test_the_time_limit_of_the_test_run_is_real(installed: Clock, really_took: Real) -> None:
    module = types.ModuleType("pytest_timeout")
    exec("fired = []\ndef fire(): fired.append(1)", vars(module))  # noqa: S102 - an import
    timer = threading.Timer(60, module.fire)
    timer.name = "a time limit"
    timer.start()
    installed.ignore_thread("a time limit")
    time.sleep(HOUR_S)
    assert module.fired == []
    timer.cancel()
    timer.join()
    assert really_took() < 30


def test_a_worker_that_ends_is_waited_for(installed: Clock) -> None:
    for _ in range(50):
        pool = ThreadPoolExecutor(1)
        pool.submit(int).result()
        worker = next(iter(pool._threads))
        pool.shutdown(wait=False)
        worker.join(60)
        assert not worker.is_alive()
    assert installed.elapsed_s < 30


def test_threads_that_end_are_joined_at_once(installed: Clock) -> None:
    for _ in range(200):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join(HOUR_S)
        assert not thread.is_alive()
    assert installed.elapsed_s < 60


def test_several_threads_join_one(installed: Clock) -> None:
    ends = threading.Thread(target=time.sleep, args=(600,))
    ends.start()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ends.join, timeout_s) for timeout_s in (60, 700, 800, 900)]
        jobs[0].result()
        assert round(installed.elapsed_s) == 60
        concurrent.futures.wait(jobs)
    assert round(installed.elapsed_s) == 600


def test_a_lock_is_waited_for_really_and_named(really_took: Real) -> None:
    clock = Clock()
    clock.install()
    lock = threading.Lock()
    lock.acquire()
    sleeper = threading.Thread(target=time.sleep, args=(60,))
    sleeper.start()
    assert not lock.acquire(timeout=0.4)
    clock.advance(60)
    sleeper.join()
    with pytest.warns(VirtualClockWarning, match=r"the thread of the test, at .*test_time_outs\.py:"):
        clock.uninstall()
    assert really_took() >= 0.4
