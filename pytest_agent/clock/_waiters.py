"""Who waits for a virtual time: a thread that sleeps or waits for another, or an event loop with nothing to run."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from pytest_agent.clock._descriptors import Descriptor


class Waiter(ABC):
    """Waits until `deadline_s` (virtual; infinite for a loop without timers) in the thread `ident`."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.ident = threading.get_ident()
        self.woken = False  # its time has come, or the clock went away: set under the clock's lock
        self.order = 0

    @abstractmethod
    def wake(self) -> None:
        """Make the thread look again. Any thread may call it."""

    def descriptors(self) -> list[Descriptor]:
        """Open descriptors through which something unseen may wake it."""
        return []


class SleepingThread(Waiter):
    """A thread in `time.sleep`."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(deadline_s)
        self._asleep = threading.Lock()  # not an event: a wait for one may be what this serves
        self._asleep.acquire()

    def wake(self) -> None:
        with suppress(RuntimeError):  # it was awake already
            self._asleep.release()

    def pause(self, seconds: float | None) -> None:
        """Really wait, at most `seconds`, until woken."""
        self._asleep.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))


class WaitingThread(SleepingThread):
    """A thread that waits for another one; its deadline may be infinite."""


class JoiningThread(SleepingThread):
    """A thread that waits for the end of `thread`."""

    def __init__(self, deadline_s: float, thread: threading.Thread) -> None:
        super().__init__(deadline_s)
        self.thread = thread
        self.ended = False


class IdleLoop(Waiter):
    """An event loop in its selector. `wake` writes to the loop's self-pipe."""

    def __init__(
        self, deadline_s: float, wake: Callable[[], None], descriptors: Callable[[], list[Descriptor]]
    ) -> None:
        super().__init__(deadline_s)
        self._wake = wake
        self._descriptors = descriptors

    def wake(self) -> None:
        self._wake()

    def descriptors(self) -> list[Descriptor]:
        return self._descriptors()
