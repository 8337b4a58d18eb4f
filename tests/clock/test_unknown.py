"""What the clock cannot see into is waited for really, and named; what it knows is not."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable

import pytest

from pytest_agent.clock import Clock, NothingToWaitFor, RealWait, VirtualClockWarning, _real

Real = Callable[[], float]
NAP_S = 0.15


def in_the_loop() -> None:
    asyncio.run(asyncio.sleep(3600))


def in_time_sleep() -> None:
    time.sleep(3600)


def test_an_unknown_thread_is_waited_for_and_named(really_took: Real) -> None:
    clock, release = Clock(), threading.Event()
    clock.install()
    thread = threading.Thread(target=release.wait, name="ticker")
    thread.start()
    asyncio.run(asyncio.sleep(NAP_S))
    assert really_took() >= NAP_S
    (wait,) = clock.waits
    assert wait.what.startswith("the thread 'ticker', at ")
    release.set()
    thread.join()
    with pytest.warns(VirtualClockWarning, match=r"0\.\d\d s for the thread 'ticker'") as caught:
        clock.uninstall()
    assert "clock.ignore_thread('ticker')" in str(caught[0].message)
    # When it has been said once, it is not said again
    clock.install()
    clock.uninstall()


@pytest.mark.filterwarnings("ignore::pytest_agent.clock.VirtualClockWarning")
def test_a_thread_in_a_lock_is_named_with_its_place(installed: Clock) -> None:
    lock = threading.Lock()
    lock.acquire()

    def waits() -> None:
        lock.acquire(timeout=60)  # the place

    thread = threading.Thread(target=waits, name="locked")
    thread.start()
    time.sleep(NAP_S)
    lock.release()
    thread.join()
    line = waits.__code__.co_firstlineno + 1
    assert [wait.what for wait in installed.waits] == [f"the thread 'locked', at {__file__}:{line}"]


@pytest.mark.filterwarnings("ignore::pytest_agent.clock.VirtualClockWarning")
def test_a_thread_that_moves_about_is_named_once(installed: Clock) -> None:
    def works() -> None:
        until = _real.perf_counter() + NAP_S
        while _real.perf_counter() < until:
            _real.sleep(0.01)
            _real.sleep(0.02)

    thread = threading.Thread(target=works, name="busy")
    thread.start()
    time.sleep(NAP_S)
    thread.join()
    (wait,) = installed.waits
    assert wait.what.startswith(f"the thread 'busy', at {__file__}:")
    assert wait.seconds > 0.1


@pytest.mark.parametrize("pattern", ["ticker", "tick*"])
def test_a_thread_declared_idle_is_not_waited_for(installed: Clock, pattern: str, really_took: Real) -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="ticker")
    thread.start()
    installed.ignore_thread(pattern)
    asyncio.run(asyncio.sleep(3600))
    assert installed.elapsed_s == 3600
    assert installed.waits == []
    assert really_took() < 5
    release.set()
    thread.join()


def test_a_thread_from_before_the_clock_is_not_waited_for(really_took: Real) -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    with Clock().installed() as clock:
        asyncio.run(asyncio.sleep(3600))
        time.sleep(3600)
    assert clock.elapsed_s == 7200
    assert clock.waits == []
    assert really_took() < 5
    release.set()
    thread.join()


def test_a_thread_from_before_the_clock_sleeps_really() -> None:
    go, slept_s = threading.Event(), []

    def naps() -> None:
        go.wait()
        began = _real.perf_counter()
        time.sleep(0.02)
        slept_s.append(_real.perf_counter() - began)

    thread = threading.Thread(target=naps)
    thread.start()
    with Clock().installed() as clock:
        go.set()
        thread.join()
    assert slept_s[0] >= 0.02
    assert clock.elapsed_s == 0


def test_a_thread_of_the_first_phase_still_counts_in_the_second() -> None:
    clock, release = Clock(), threading.Event()
    with clock.installed():
        thread = threading.Thread(target=release.wait, name="of the fixture")
        thread.start()
    with clock.installed():
        time.sleep(0.05)
    assert [wait.what.partition(",")[0] for wait in clock.waits] == ["the thread 'of the fixture'"]
    release.set()
    thread.join()


def test_an_open_socket_is_waited_for_and_named(really_took: Real) -> None:
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        async def main() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(NAP_S)
            writer.close()

        expected = rf"ignore_socket\('socket to 127.0.0.1:{port}'\)"
        with pytest.warns(VirtualClockWarning, match=expected), clock.installed():
            asyncio.run(main())
    assert really_took() >= NAP_S
    assert clock.waits[0].what.startswith(f"the socket to 127.0.0.1:{port} (fd ")


@pytest.mark.parametrize("by", ["peer", "socket", "number"])
def test_a_socket_declared_idle_is_not_waited_for(installed: Clock, by: str, really_took: Real) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        async def main() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            sock = writer.get_extra_info("socket")
            installed.ignore_socket({"peer": f"127.0.0.1:{port}", "socket": sock, "number": sock.fileno()}[by])
            await asyncio.sleep(3600)
            writer.close()

        asyncio.run(main())
    assert installed.waits == []
    assert 3600 <= installed.elapsed_s < 3660
    assert really_took() < 5


def test_what_an_open_socket_delivers_arrives_before_a_deadline(installed: Clock) -> None:
    async def main() -> bytes:
        async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(answers, "127.0.0.1", 0)
        async with server, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"over a real socket\n")
            line = await reader.readline()
            writer.close()
            return line

    assert asyncio.run(main()) == b"over a real socket\n"
    assert installed.elapsed_s < 30


def test_a_short_real_wait_is_not_worth_a_warning() -> None:
    clock = Clock()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with clock.installed():
            thread = threading.Thread(target=_real.sleep, args=(0.04,))
            thread.start()
            time.sleep(0.03)
            thread.join()
    assert all(wait.seconds < 0.1 for wait in clock.waits)
    assert all(isinstance(wait, RealWait) for wait in clock.waits)


def test_a_loop_that_would_wait_for_ever_says_who_waits_and_where(installed: Clock, really_took: Real) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(never(), name="the stuck one")
        await task

    with pytest.raises(NothingToWaitFor, match=r"the stuck one .*never") as error:
        asyncio.run(main())
    line = never.__code__.co_firstlineno + 1
    assert f"test_unknown.py:{line} (in Event.wait)" in str(error.value)
    assert "asyncio.timeout" in str(error.value)
    assert really_took() < 5


def test_a_loop_that_a_thread_will_wake_is_not_stuck(installed: Clock) -> None:
    async def main() -> bool:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def wakes() -> None:
            _real.sleep(0.03)
            loop.call_soon_threadsafe(arrived.set)

        threading.Thread(target=wakes).start()
        return await arrived.wait()

    assert asyncio.run(main())


def test_a_loop_that_a_thread_from_before_the_clock_wakes_is_not_stuck() -> None:
    told = threading.Event()
    wake: list[Callable[[], None]] = []

    def wakes() -> None:
        told.wait()
        wake[0]()

    async def main() -> bool:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        wake.append(lambda: loop.call_soon_threadsafe(arrived.set) and None)
        loop.call_soon(told.set)
        return await arrived.wait()

    thread = threading.Thread(target=wakes)
    thread.start()
    with Clock().installed():
        assert asyncio.run(main())
    thread.join()


def test_a_loop_that_a_sleeping_thread_will_wake_is_not_stuck(installed: Clock, really_took: Real) -> None:
    async def main() -> None:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def wakes() -> None:
            time.sleep(3600)
            loop.call_soon_threadsafe(arrived.set)

        threading.Thread(target=wakes).start()
        await arrived.wait()

    asyncio.run(main())
    assert round(installed.elapsed_s) == 3600
    assert really_took() < 5


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
@pytest.mark.parametrize("wait", [in_the_loop, in_time_sleep])
def test_ctrl_c_interrupts_a_real_wait(installed: Clock, wait: Callable[[], None], really_took: Real) -> None:
    def interrupts(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupts)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with installed.busy("something endless"), pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert really_took() < 30
    # When the wait was interrupted, nothing of it is left behind
    time.sleep(3600)
    assert installed.elapsed_s >= 3600
