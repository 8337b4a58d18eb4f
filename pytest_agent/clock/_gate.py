"""A place where one thread waits for another, in the time of the clock."""

from __future__ import annotations

import math
import threading

from pytest_agent.clock._active import active
from pytest_agent.clock._hang import NothingToWaitFor
from pytest_agent.clock._waiters import WaitingThread


class Gate:
    """Opened once, by any thread; one thread waits for it. Without a clock the wait is real."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._waiter: WaitingThread | None = None

    def open(self) -> None:
        """Let the one who waits go on; it counts as at work from here on."""
        self._opened.set()
        waiter, clock = self._waiter, active()
        if waiter is not None:
            if clock is not None:
                clock.inside.leave(waiter)
            waiter.wake()

    def wait(self, timeout_s: float | None) -> bool:
        """Whether it was opened within so many seconds; None waits for as long as anything may open it.

        Raises NothingToWaitFor in the thread of the test where nothing else is at work or waits for a time.
        """
        clock = active()
        if clock is None:
            return self._opened.wait(timeout_s)
        waiter = WaitingThread(math.inf if timeout_s is None else clock.monotonic() + timeout_s)
        self._waiter = waiter
        with clock.inside.waiting(waiter):
            while not self._opened.is_set() and not waiter.woken:
                pause = clock.inside.decide(waiter)
                if pause == math.inf:
                    raise NothingToWaitFor("a thread would wait for ever for another one, and none is at work")
                if not waiter.woken:
                    waiter.pause(pause)
        return self._opened.is_set()
