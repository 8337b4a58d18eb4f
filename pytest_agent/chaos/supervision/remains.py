"""What a run leaves behind in its process: threads that go on, and processes that live on."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pytest_agent.chaos.supervision.processes import SEES_PROCESSES, Process, descendants, has_children
from pytest_agent.chaos.supervision.stacks import Stack

GRACE_S = 1.0
"""So long, in real time, what is about to end may take: a process that was told to, a thread that returns."""
_STEP_S = 0.01
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remains:
    """What is there that was not there before, each in a line: `threads` by where they are, `processes` by command.

    `usual` are daemon threads that were let be, by the author's function in which each began.
    """

    threads: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()


class Before:
    """What was there before a run. `usual` are daemon threads that the clean run leaves: so the agent works.

    None: this is the clean run, and all of them are usual.
    """

    def __init__(self, usual: Sequence[str] | None = None) -> None:
        self._usual = None if usual is None else frozenset(usual)
        self._threads = set(threading.enumerate())
        self._processes = {process.pid for process in _processes()}

    def remains(self) -> Remains:
        """What the run has left, once what is about to end has ended."""
        threads = _once_settled(self._new_threads)
        processes = _once_settled(self._new_processes)
        unusual = [thread for thread in threads if not self._is_usual(thread)]
        usual = [_stack_of(thread).entry for thread in threads if thread not in unusual]
        return Remains(_said(unusual), tuple(sorted(one.command for one in processes)), tuple(sorted(set(usual))))

    def _new_threads(self) -> list[threading.Thread]:
        new = [thread for thread in threading.enumerate() if thread not in self._threads]
        return [thread for thread in new if _counts(thread) and not (self._usual and self._is_usual(thread))]

    def _is_usual(self, thread: threading.Thread) -> bool:
        return thread.daemon and (self._usual is None or _stack_of(thread).entry in self._usual)

    def _new_processes(self) -> list[Process]:
        return [process for process in _processes() if process.pid not in self._processes]


def _counts(thread: threading.Thread) -> bool:
    """Libraries have daemon threads in the background, and pools keep theirs: they may."""
    stack = _stack_of(thread)
    return bool(stack.places) and not stack.is_idle_worker and (not thread.daemon or stack.authors is not None)


def _processes() -> list[Process]:
    if not SEES_PROCESSES or not has_children():
        return []
    return [process for process in descendants(os.getpid()) if process.pid not in _helpers()]


def _helpers() -> set[int | None]:
    """Processes that `multiprocessing` starts once, for all that come after."""
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    return {getattr(tracker, "_pid", None), getattr(server, "_forkserver_pid", None)}


def _said(threads: Sequence[threading.Thread]) -> tuple[str, ...]:
    """Each thread and where it stays; of one that runs, the function."""
    first = [_stack_of(thread) for thread in threads]
    if threads:
        time.sleep(_STEP_S)
    kinds = ["a daemon thread" if thread.daemon else "a thread" for thread in threads]
    places = [one.steady(_stack_of(thread)).where for one, thread in zip(first, threads, strict=True)]
    return tuple(sorted(f"{kind} at {place}" for kind, place in zip(kinds, places, strict=True)))


def _stack_of(thread: threading.Thread) -> Stack:
    return Stack.of(sys._current_frames().get(thread.ident or 0))


def _once_settled(look: Callable[[], list[T]]) -> list[T]:
    give_up = time.monotonic() + GRACE_S
    while (found := look()) and time.monotonic() < give_up:
        time.sleep(_STEP_S)
    return found
