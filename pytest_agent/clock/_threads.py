"""What the threads of a program are doing, as far as one can tell from outside."""

from __future__ import annotations

import fnmatch
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from weakref import WeakSet

from pytest_agent.clock._stand_ins import keeps_real_time

Frames = dict[int, FrameType]


class ThreadRegister:
    """Tells the threads that a test started from those that were there before it."""

    def __init__(self) -> None:
        self._own: WeakSet[threading.Thread] = WeakSet()
        self._foreign: set[threading.Thread] = set()
        self._workers: WeakSet[threading.Thread] = WeakSet()
        self._ignored: list[str] = []
        self._foreign_idents: set[int | None] = set()

    def installed(self) -> None:
        """From now on a new thread belongs to the test. Threads of an earlier phase of it still do."""
        self._foreign = {thread for thread in threading.enumerate() if thread not in self._own}
        self._foreign.discard(threading.current_thread())
        self._foreign_idents = {thread.ident for thread in self._foreign}

    def uninstalled(self) -> None:
        """Remember the test's threads for its next phase."""
        self._own.update(thread for thread in threading.enumerate() if thread not in self._foreign)
        self._foreign = set()
        self._foreign_idents = set()

    def is_foreign(self, ident: int) -> bool:
        """Whether the thread was there before the clock."""
        return ident in self._foreign_idents and threading.current_thread() in self._foreign

    def is_worker(self, threads: Iterable[threading.Thread]) -> None:
        """These threads run counted jobs and are idle otherwise."""
        self._workers.update(threads)

    def ignore(self, pattern: str) -> None:
        """Never wait for threads whose name matches `pattern` (as a file name would: `*`, `?`)."""
        self._ignored.append(pattern)

    def uncounted(self) -> list[threading.Thread]:
        """The test's threads of which nothing is known: no pool's worker, not declared idle."""
        threads = threading.enumerate()
        if len(threads) == len(self._foreign) + 1:  # the usual case: nobody but us
            return []
        return [
            thread
            for thread in threads
            if thread not in self._foreign
            and thread not in self._workers
            and not any(fnmatch.fnmatchcase(thread.name, pattern) for pattern in self._ignored)
        ]

    def strangers(self, home: int) -> bool:
        """Whether a thread from before the clock, other than the harness's own, might wake somebody."""
        frames = current_frames()
        return any(
            ident is not None and ident != home and not _is_of_the_harness(frames.get(ident))
            for ident in self._foreign_idents
            if ident != threading.main_thread().ident
        )


def current_frames() -> Frames:
    """The innermost frame of every thread."""
    return sys._current_frames()


def is_held_by_a_lock(frame: FrameType | None) -> bool:
    """Whether the thread waits for another thread: in a condition, an event, a queue, a future, a join.

    Only what `threading` shows is seen; a bare `lock.acquire()` looks like work. A waiter that has been
    notified but did not run yet is not held any more: its lock is free. A thread without a frame is gone.
    """
    if frame is None:
        return True
    if frame.f_globals.get("__name__") != "threading":
        return False
    name = frame.f_code.co_name
    local = frame.f_locals
    if name == "wait" and "waiter" in local:
        return bool(local["waiter"].locked())
    if name == "_wait_for_tstate_lock" and local.get("lock") is not None:  # Thread.join up to 3.12
        return bool(local["lock"].locked())
    if name == "join" and isinstance(local.get("self"), threading.Thread):
        return bool(local["self"].is_alive())
    return False


def is_waiting_for_a_thread(frame: FrameType | None) -> bool:
    """Whether the thread waits for another one to end or to deliver: `Thread.join` or `Future.result`."""
    if not is_held_by_a_lock(frame):
        return False
    while frame is not None and frame.f_globals.get("__name__") == "threading":
        if frame.f_code.co_name in {"join", "_wait_for_tstate_lock"}:
            return True
        frame = frame.f_back
    return frame is None or frame.f_globals.get("__name__") == "concurrent.futures._base"


def place(frame: FrameType | None) -> str:
    """`file:line` of a frame, for a message."""
    return "no frame" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_of_the_harness(frame: FrameType | None) -> bool:
    if frame is None:
        return True
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if keeps_real_time(name) and name.partition(".")[0] in {"execnet", "xdist", "pytest_timeout"}:
            return True
        frame = frame.f_back
    return False
