"""Which of several ready tasks goes first is a choice; what asyncio promises of its callbacks is not."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable

import pytest

from pytest_agent.clock import Clock
from pytest_agent.clock._ready import ReadyHandles

CHOICES: dict[str, Callable[[int], int]] = {
    "usual": lambda ready: 0,
    "last": lambda ready: ready - 1,
    "second": lambda ready: 1,
}


def under(clock: Clock, choose: Callable[[int], int], main: Callable[[], object], *, debug: bool = False) -> list[int]:
    """Run the coroutine function; returns how many tasks there were to choose from, choice by choice."""
    asked: list[int] = []

    def told(ready: int) -> int:
        asked.append(ready)
        return choose(ready)

    clock.order_tasks(told)
    with asyncio.Runner(debug=debug) as runner:
        runner.run(main())  # type: ignore[arg-type]
    return asked


@pytest.mark.parametrize("debug", [False, True])
def test_tasks_that_are_ready_together_go_in_the_chosen_order(installed: Clock, debug: bool) -> None:
    went: list[str] = []

    async def goes(name: str) -> None:
        went.append(name)

    async def main() -> None:
        await asyncio.gather(goes("a"), goes("b"), goes("c"))

    assert under(installed, CHOICES["usual"], main, debug=debug) == [3, 2]
    assert went == ["a", "b", "c"]
    went.clear()
    under(installed, CHOICES["last"], main, debug=debug)
    assert went == ["c", "b", "a"]
    went.clear()
    under(installed, CHOICES["second"], main, debug=debug)
    assert went == ["b", "c", "a"]


def test_a_choice_says_every_order_there_is(installed: Clock) -> None:
    seen = set()
    for first, second in itertools.product(range(3), range(2)):
        went: list[str] = []

        async def goes(name: str, went: list[str] = went) -> None:
            went.append(name)

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for name in "abc":
                    group.create_task(goes(name))

        picks = iter([first, second])
        under(installed, lambda ready, picks=picks: next(picks, 0), main)  # type: ignore[misc]
        seen.add("".join(went))
    assert seen == {"".join(order) for order in itertools.permutations("abc")}


def test_no_task_overtakes_a_callback(installed: Clock) -> None:
    went: list[str] = []

    async def goes(name: str) -> None:
        went.append(name)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        first = loop.create_task(goes("task 1"))
        loop.call_soon(went.append, "callback 1")
        second = loop.create_task(goes("task 2"))
        third = loop.create_task(goes("task 3"))
        loop.call_soon(went.append, "callback 2")
        await asyncio.wait([first, second, third])

    under(installed, CHOICES["last"], main)
    assert went == ["task 1", "callback 1", "task 3", "task 2", "callback 2"]


def test_one_task_alone_is_no_choice(installed: Clock) -> None:
    async def main() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        await asyncio.sleep(5)

    assert under(installed, CHOICES["last"], main) == []


def test_tasks_that_wake_at_one_time_are_ready_together(installed: Clock) -> None:
    went: list[str] = []

    async def goes(name: str) -> None:
        await asyncio.sleep(7)
        went.append(name)

    async def main() -> None:
        tasks = [asyncio.create_task(goes(name)) for name in "ab"]
        await asyncio.sleep(1)
        await asyncio.gather(*tasks)

    under(installed, CHOICES["last"], main)
    # In the usual order of the beginning b would sleep first, and wake first.
    assert went in (["a", "b"], ["b", "a"])
    assert installed.elapsed_s == 7


def test_what_threads_have_woken_is_no_choice(installed: Clock) -> None:
    async def works() -> None:
        await asyncio.to_thread(threading.get_ident)

    async def main() -> None:
        tasks = [asyncio.create_task(works()) for _ in range(4)]
        await asyncio.gather(*tasks)

    # The beginnings of the four are a choice; in what order their threads are done is not.
    assert under(installed, CHOICES["usual"], main) == [4, 3, 2]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("debug", [False, True])
def test_asyncio_keeps_its_word_in_any_order(installed: Clock, choice: str, debug: bool) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    got: list[int] = []

    async def takes() -> None:
        while True:
            got.append(await queue.get())
            queue.task_done()

    async def main() -> None:
        lock, together = asyncio.Lock(), asyncio.Barrier(3)
        inside = 0

        async def one() -> None:
            nonlocal inside
            async with lock:
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1
            async with together:
                pass

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(one())
        consumers = [asyncio.create_task(takes()) for _ in range(2)]
        for number in range(20):
            await queue.put(number)
        await queue.join()
        for consumer in consumers:
            consumer.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(asyncio.sleep(50), asyncio.sleep(60)), 3)
        with pytest.raises(ExceptionGroup):
            await a_group_that_fails()

    under(installed, CHOICES[choice], main, debug=debug)
    assert sorted(got) == list(range(20))
    assert installed.elapsed_s == 3


async def a_group_that_fails() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(30))
        group.create_task(fails())


async def fails() -> None:
    raise ConnectionError("no answer")


def test_a_loop_of_another_thread_keeps_its_order(installed: Clock) -> None:
    went: list[str] = []

    async def goes(name: str) -> None:
        went.append(name)

    async def main() -> None:
        await asyncio.gather(goes("a"), goes("b"))

    installed.order_tasks(lambda ready: ready - 1)
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert went == ["a", "b"]


def test_a_thread_may_append_at_any_moment() -> None:
    handles = ReadyHandles()
    handles.owner = threading.get_ident()
    loop = asyncio.new_event_loop()
    stop = threading.Event()

    def from_another_thread() -> None:
        while not stop.is_set():
            if len(handles) < 200:
                handles.append(asyncio.Handle(print, (), loop))

    thread = threading.Thread(target=from_another_thread)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        taken = 0
        while taken < 20_000:
            if handles:
                handles.popleft()
                taken += 1
    finally:
        sys.setswitchinterval(usual)
        stop.set()
        thread.join()
        loop.close()
