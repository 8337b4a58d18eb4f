"""What the threads of a program are doing, as far as one can tell from outside."""

from __future__ import annotations

import fnmatch
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from weakref import WeakSet

from pytest_agent.clock._callers import keeps_real_time

Frames = dict[int, FrameType]
_STANDARD = sysconfig.get_path("stdlib")
_INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))  # in the other one, or anywhere else
_JOINS = frozenset({"join", "_wait_for_tstate_lock"})  # the latter up to Python 3.12


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

    def add_workers(self, threads: Iterable[threading.Thread]) -> None:
        """These threads run counted jobs and are idle otherwise."""
        self._workers.update(threads)

    def is_a_worker(self, thread: threading.Thread) -> bool:
        """Whether the thread belongs to a pool."""
        return thread in self._workers

    def is_outside(self, ident: int) -> bool:
        """Whether the thread was there before the clock, or is declared idle."""
        if ident not in self._foreign_idents and not self._ignored:
            return False
        thread = next((thread for thread in threading.enumerate() if thread.ident == ident), None)
        return thread is not None and (thread in self._foreign or self._is_ignored(thread))

    def _is_ignored(self, thread: threading.Thread) -> bool:
        return any(fnmatch.fnmatchcase(thread.name, pattern) for pattern in self._ignored)

    def ignore(self, pattern: str) -> None:
        """Never wait for threads whose name matches `pattern` (as a file name would: `*`, `?`)."""
        self._ignored.append(pattern)

    def uncounted(self) -> list[threading.Thread]:
        """The test's threads of which nothing is known: no pool's worker, not declared idle."""
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self._foreign and thread not in self._workers and not self._is_ignored(thread)
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


def is_held_by_a_lock(frame: FrameType | None, is_ending: Callable[[threading.Thread], bool]) -> bool:
    """Whether the thread waits for another thread: in a condition, an event, a queue, a future, a join.

    Exact as soon as it is true: one that was notified is not held any more, even before it runs again. Only what
    `threading` shows is seen; a bare `lock.acquire()` looks like work. A thread without a frame is gone.
    Who joins a thread that `is_ending` is about to go on. So is who only has a look: `is_alive`, a time-out of 0.
    """
    if frame is None:
        return True
    if frame.f_globals.get("__name__") != "threading":
        return False
    local = frame.f_locals
    owner = local.get("self")
    if frame.f_code.co_name == "wait" and isinstance(owner, threading.Condition):
        # The lock of the waiter does not tell: it is taken again before the notified thread runs.
        timeout = local.get("timeout")
        return (timeout is None or timeout > 0) and local.get("waiter") in getattr(owner, "_waiters", ())
    if frame.f_code.co_name in _JOINS and isinstance(owner, threading.Thread):
        looks = local.get("timeout") == 0 or not local.get("block", True)
        return not looks and owner in threading.enumerate() and not is_ending(owner)
    return False


def is_waiting_for_a_thread(frame: FrameType | None, is_ending: Callable[[threading.Thread], bool]) -> bool:
    """Whether the thread waits for another one to end or to deliver: `Thread.join` or `Future.result`."""
    if not is_held_by_a_lock(frame, is_ending):
        return False
    while frame is not None and frame.f_globals.get("__name__") == "threading":
        if frame.f_code.co_name in _JOINS:
            return True
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "concurrent.futures._base"


def place(frame: FrameType | None) -> str:
    """`file:line` of a frame, for a message: of who called the standard library where that is in it."""
    outer = frame
    while outer is not None and _is_standard(outer.f_code.co_filename):
        outer = outer.f_back
    shown = outer or frame
    return "no frame" if shown is None else f"{shown.f_code.co_filename}:{shown.f_lineno}"


def _is_standard(filename: str) -> bool:
    return filename.startswith(("<frozen", _STANDARD)) and not filename.startswith(_INSTALLED)


def _is_of_the_harness(frame: FrameType | None) -> bool:
    if frame is None:
        return True
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if keeps_real_time(name) and name.partition(".")[0] in {"execnet", "xdist", "pytest_timeout"}:
            return True
        frame = frame.f_back
    return False
