"""Everything that tells the time tells the same, and waiting for it costs nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import anyio
import pytest

from pytest_agent.clock import Clock, VirtualEventLoop, active, keep, let_go, new_event_loop

Real = Callable[[], float]
HOUR_S = 3600.0


@contextmanager
def kept() -> Iterator[None]:
    keep()
    try:
        yield
    finally:
        let_go()


@pytest.fixture
def retrying_library() -> Iterator[types.ModuleType]:
    """A library that took its functions from `time` when it was imported."""
    module = types.ModuleType("a_retrying_library")
    code = """
from time import monotonic, monotonic_ns, perf_counter, perf_counter_ns, sleep, time

def retry(stop_after_s, wait_s):
    began, attempts = monotonic(), 0
    while monotonic() - began < stop_after_s:
        attempts += 1
        sleep(wait_s)
    return attempts
"""
    exec(code, vars(module))  # noqa: S102 - the import of a library
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_an_hour_of_asyncio_back_off_costs_milliseconds(installed: Clock, really_took: Real) -> None:
    async def backs_off() -> float:
        for _ in range(60):
            await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    assert asyncio.run(backs_off()) == 1_000 + HOUR_S
    assert installed.elapsed_s == HOUR_S
    assert really_took() < 0.5


def test_an_hour_of_blocking_back_off_costs_milliseconds(installed: Clock, really_took: Real) -> None:
    for _ in range(60):
        time.sleep(60)
    assert installed.elapsed_s == HOUR_S
    assert really_took() < 0.5


def test_every_clock_of_the_process_shows_the_same_time(installed: Clock) -> None:
    wall_s, monotonic_s, perf_s = time.time(), time.monotonic(), time.perf_counter()
    assert (wall_s, monotonic_s) == (1_767_225_600.0, 1_000.0)
    time.sleep(90.5)
    assert time.time() - wall_s == 90.5
    assert time.monotonic() - monotonic_s == 90.5
    assert time.perf_counter() - perf_s == 90.5
    assert (time.monotonic_ns(), time.perf_counter_ns()) == (1_090_500_000_000, 1_090_500_000_000)
    assert time.time_ns() == 1_767_225_690_500_000_000
    assert (installed.time(), installed.monotonic(), installed.elapsed_s) == (1_767_225_690.5, 1_090.5, 90.5)
    assert dt.datetime.now(dt.UTC) == dt.datetime(2026, 1, 1, 0, 1, 30, 500_000, tzinfo=dt.UTC)
    time.sleep(86_400)
    assert dt.date.today() == dt.date(2026, 1, 2)


def test_a_clock_starts_where_it_is_told_to() -> None:
    with Clock(epoch_s=0.25, monotonic_s=7).installed():
        assert (time.time(), time.monotonic()) == (0.25, 7.0)


def test_the_author_can_move_time_by_hand(installed: Clock) -> None:
    async def sees_time_moved(deadline: asyncio.Timeout) -> None:
        async with deadline:
            installed.advance(31)
            await asyncio.Event().wait()

    async def reaches_its_deadline() -> None:
        deadline = asyncio.timeout(30)
        with pytest.raises(TimeoutError):
            await sees_time_moved(deadline)

    asyncio.run(reaches_its_deadline())
    assert installed.elapsed_s == 31


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("-inf")])
def test_time_never_goes_back(installed: Clock, seconds: float) -> None:
    with pytest.raises(ValueError, match="it goes forward"):
        installed.advance(seconds)
    with pytest.raises(ValueError, match="non-negative"):
        time.sleep(seconds)
    assert installed.elapsed_s == 0


def test_a_library_that_kept_the_functions_at_import_sees_virtual_time(
    retrying_library: types.ModuleType, really_took: Real
) -> None:
    with Clock().installed() as clock:
        assert retrying_library.retry(stop_after_s=HOUR_S, wait_s=600) == 6
        assert clock.elapsed_s == HOUR_S
        assert retrying_library.perf_counter() == retrying_library.monotonic() == time.monotonic()
        assert retrying_library.monotonic_ns() == retrying_library.perf_counter_ns()
        assert retrying_library.time() == clock.time()
    assert retrying_library.sleep is time.sleep
    assert retrying_library.monotonic is time.monotonic
    assert really_took() < 1


def test_a_library_imported_under_the_clock_gets_real_time_back(really_took: Real) -> None:
    late = types.ModuleType("a_late_library")
    real = time.monotonic
    try:
        with Clock().installed():
            sys.modules[late.__name__] = late
            exec("from time import monotonic", vars(late))  # noqa: S102 - the import of a library
            kept = late.monotonic
            assert kept() == 1_000.0
        assert late.monotonic is real
        assert kept() == pytest.approx(real(), abs=5)
    finally:
        del sys.modules[late.__name__]


def test_nobody_sleeps_for_ever(installed: Clock) -> None:
    with pytest.raises(OverflowError):
        time.sleep(float("inf"))
    with pytest.raises(ValueError, match="to a time"):
        installed.advance(float("inf"))


@pytest.mark.parametrize(
    ("name", "is_virtual"),
    [("hypothesis.engine", False), ("_pytest.runner", False), ("an_agent", True), ("hypothesised", True)],
)
def test_the_test_run_itself_is_measured_in_real_time(installed: Clock, name: str, is_virtual: bool) -> None:
    module = types.ModuleType(name)
    exec("import time\ndef now(): return time.perf_counter()", vars(module))  # noqa: S102 - an import
    time.sleep(1e9)
    assert (module.now() == installed.monotonic()) is is_virtual


def test_asyncio_timers_fire_in_their_order(installed: Clock) -> None:
    fired: list[tuple[str, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for name, delay in [("c", 3.0), ("a", 1.0), ("b", 1.0), ("now", 0.0), ("d", 3.0)]:
            loop.call_later(delay, lambda name=name: fired.append((name, loop.time())))
        await asyncio.sleep(5)

    asyncio.run(main())
    assert fired == [("now", 1000), ("a", 1001), ("b", 1001), ("c", 1003), ("d", 1003)]


def test_two_runs_of_one_program_see_the_same_times() -> None:
    async def main() -> list[float]:
        loop, seen = asyncio.get_running_loop(), []

        async def ticks(period: float) -> None:
            for _ in range(20):
                await asyncio.sleep(period)
                seen.append(loop.time())

        async with asyncio.TaskGroup() as group:
            for period in (0.1, 1 / 3, 0.7, 60.0):
                group.create_task(ticks(period))
        return seen

    runs = []
    for _ in range(2):
        with Clock().installed():
            runs.append(asyncio.run(main()))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 80


def test_a_loop_that_sleeps_for_the_rest_of_its_deadline_comes_to_its_end(installed: Clock) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay in (0.1, 0.3, 1e-12, 1 / 3, 1e7 + 1 / 7):
            deadline = loop.time() + delay
            while (left := deadline - loop.time()) > 0:
                await asyncio.sleep(left)
            deadline = time.monotonic() + delay
            while (left := deadline - time.monotonic()) > 0:
                time.sleep(left)  # noqa: ASYNC251 - and a blocking one

    asyncio.run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_asyncio_and_anyio_time_out_in_virtual_time(installed: Clock, debug: bool, really_took: Real) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(11)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 20)
        with pytest.raises(TimeoutError), anyio.fail_after(30):
            await anyio.sleep(31)
        with anyio.move_on_after(40) as scope:
            await anyio.sleep(39)
        assert not scope.cancelled_caught

    asyncio.run(main(), debug=debug)
    assert installed.elapsed_s == 99
    assert really_took() < 2


def test_every_way_to_make_a_loop_gives_a_virtual_one(installed: Clock) -> None:
    async def which() -> type:
        return type(asyncio.get_running_loop())

    assert asyncio.run(which()) is VirtualEventLoop
    assert anyio.run(which) is VirtualEventLoop
    with asyncio.Runner() as runner:
        assert runner.run(which()) is VirtualEventLoop
    for make in (asyncio.new_event_loop, asyncio.events.new_event_loop, new_event_loop):
        loop = make()
        assert loop.run_until_complete(which()) is VirtualEventLoop
        loop.close()


def test_without_a_clock_our_loop_lives_in_real_time(really_took: Real) -> None:
    async def main() -> float:
        await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time()

    assert active() is None
    loop = new_event_loop()
    try:
        assert loop.run_until_complete(main()) == pytest.approx(time.monotonic(), abs=5)
    finally:
        loop.close()
    assert really_took() >= 0.01


def test_install_and_uninstall_restore_the_originals_exactly() -> None:
    def everything() -> list[object]:
        return [
            *(getattr(time, name) for name in ("sleep", "time", "monotonic", "monotonic_ns", "perf_counter")),
            *(asyncio.new_event_loop, asyncio.events.new_event_loop, ThreadPoolExecutor.submit),
            *(dt.datetime, dt.datetime.now, anyio.to_thread.run_sync, threading.Thread.start),
        ]

    before, real_year = everything(), dt.datetime.now(dt.UTC).year
    clock = Clock(epoch_s=86_400.0)
    for _ in range(3):
        clock.install()
        clock.install()
        assert active() is clock
        assert everything() != before
        assert dt.datetime.now(dt.UTC).year == 1970
        clock.uninstall()
        clock.uninstall()
        assert active() is None
        assert [a is b or a == b for a, b in zip(before, everything(), strict=True)] == [True] * len(before)
        assert dt.datetime.now(dt.UTC).year == real_year
    assert vars(asyncio.get_event_loop_policy()).get("new_event_loop") is None


def test_what_is_kept_is_real_while_no_clock_is_installed(really_took: Real) -> None:
    real, submit = time.monotonic, ThreadPoolExecutor.submit
    with kept():
        with Clock().installed():
            time.sleep(5)
        assert time.monotonic is not real
        assert time.monotonic() == pytest.approx(real(), abs=5)
        time.sleep(0.01)
        assert really_took() >= 0.01
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(time.monotonic).result() == pytest.approx(real(), abs=5)
        # Whoever makes a loop out here, such as a server of the whole session, is not drawn into a test's time.
        for make in (asyncio.new_event_loop, asyncio.get_event_loop_policy().new_event_loop):
            loop = make()
            assert not isinstance(loop, VirtualEventLoop)
            loop.close()
        with Clock().installed():
            assert time.monotonic() == 1_000.0
    assert time.monotonic is real
    assert ThreadPoolExecutor.submit is submit


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there a policy makes no loops for asyncio")
def test_a_policy_that_comes_later_makes_virtual_loops_too() -> None:
    policy = asyncio.DefaultEventLoopPolicy()
    with kept():
        with Clock().installed():
            pass
        asyncio.set_event_loop_policy(policy)
        with Clock().installed():
            loop = policy.new_event_loop()
            assert isinstance(loop, VirtualEventLoop)
            loop.close()
        asyncio.set_event_loop_policy(None)
    assert vars(policy).get("new_event_loop") is None


def test_a_library_that_takes_the_place_of_another_follows_the_clock_too(retrying_library: types.ModuleType) -> None:
    real = time.monotonic
    other = types.ModuleType(retrying_library.__name__)
    with kept():
        with Clock().installed():
            assert retrying_library.monotonic() == 1_000.0
        sys.modules[other.__name__] = other
        exec("from time import monotonic", vars(other))  # noqa: S102 - the import of a library
        assert other.monotonic() == pytest.approx(real(), abs=5)
        with Clock().installed():
            assert other.monotonic() == 1_000.0
    assert retrying_library.monotonic is real
    assert other.monotonic() == pytest.approx(real(), abs=5)


def test_what_only_says_that_it_is_a_module_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """cffi leaves such objects among the modules; they have no names of their own."""

    class Lib:
        __slots__ = ()
        __class__ = types.ModuleType  # type: ignore[assignment]

    assert isinstance(Lib(), types.ModuleType)
    monkeypatch.setitem(sys.modules, "_library.lib", Lib())
    with Clock().installed():
        assert time.monotonic() == 1_000.0


def test_time_stands_still_between_two_phases_of_a_test() -> None:
    clock = Clock()
    with clock.installed():
        time.sleep(5)
    assert clock.elapsed_s == 5
    with clock.installed(), clock.installed():
        time.sleep(5)
        assert active() is clock
    assert clock.elapsed_s == 10


def test_a_second_clock_is_refused_by_name() -> None:
    with Clock().installed() as first, pytest.raises(RuntimeError, match="another clock is installed") as error:
        Clock().install()
    assert active() is None
    assert "test_one_time.py:" in str(error.value)
    assert first.elapsed_s == 0


def test_an_authors_own_patch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, original, slept = Clock(), time.sleep, []
    clock.install()
    monkeypatch.setattr(time, "sleep", slept.append)
    clock.uninstall()
    time.sleep(5)
    clock.install()
    monkeypatch.undo()
    clock.uninstall()
    assert slept == [5]
    assert time.sleep is original


def test_a_clock_that_is_not_installed_moves_when_it_is_told_to_sleep() -> None:
    clock = Clock()
    clock.sleep(60)
    assert clock.elapsed_s == 60


def test_installing_and_uninstalling_is_cheap(really_took: Real) -> None:
    clock = Clock()
    for _ in range(1_000):
        clock.install()
        clock.uninstall()
    assert really_took() < 2
