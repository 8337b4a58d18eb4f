"""What an event loop runs next, where it may choose: the order of tasks that are ready at one moment.

asyncio promises that callbacks run in the order in which they were registered, and programs lean on that. It promises
nothing about which of several ready *tasks* goes first, and in production the network decides. So only steps of tasks
change places: none overtakes a callback. What different threads and sockets have woken comes in an order that no seed
decides: it is neither chosen nor in the way.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections import deque
from collections.abc import Callable

from pytest_agent.clock._active import active

MOST_AT_ONCE = 32
"""So many of the tasks that are ready at one moment are considered."""
_OF_ITS_OWN = frozenset({"task_wakeup", "_Task__wakeup", "_Task__step"})
_STEP = "TaskStepMethWrapper"

Choose = Callable[[int], int]
"""Given how many tasks are ready, two at least: which goes first, from 0. 0 is the usual order."""


class ReadyHandles(deque[asyncio.Handle]):
    """The queue of a loop. Whoever takes the next handle out of it may be given another task's than the first one's.

    What a thread or a socket schedules begins a group of its own, to which all belongs that comes of it until it waits
    for a time. Only tasks of one group have an order that is the same in every run: only those are chosen from.
    """

    def __init__(self) -> None:
        super().__init__()
        self.owner = 0  # the thread that runs the loop
        self.closing = False  # what is left is ended, in its usual order
        self._groups: dict[asyncio.Handle, int] = {}  # of those that come from outside; the others are one group
        self._numbers = itertools.count(1)
        self._running = 0  # the group of the handle that was taken last
        self._since = 0  # what stands behind here was scheduled by it

    def from_outside(self, handle: asyncio.Handle) -> None:
        """It was scheduled by a thread, or by what a socket has to say."""
        self._groups[handle] = next(self._numbers)

    def append(self, handle: asyncio.Handle, /) -> None:
        """As a deque's; what another thread appends comes from outside."""
        if self.owner and threading.get_ident() != self.owner:
            self.from_outside(handle)
        super().append(handle)

    def popleft(self) -> asyncio.Handle:
        """The handle that runs next."""
        if self._running:
            self._inherit()
        place = self._chosen() if len(self) > 1 and _is_step(self[0]) and _is_of_the_program(self[0]) else 0
        if place:
            handle = self[place]
            del self[place]
        else:
            handle = super().popleft()
        self._running = self._groups.pop(handle, 0) if self._groups else 0
        self._since = len(self)
        return handle

    def _inherit(self) -> None:
        for place in range(self._since, len(self)):  # not by an iterator: another thread may append meanwhile
            handle = self[place]
            if not isinstance(handle, asyncio.TimerHandle):
                self._groups.setdefault(handle, self._running)

    def _chosen(self) -> int:
        """The place of the handle that goes first."""
        clock = active()
        choose = None if clock is None or self.closing else clock.inside.who_chooses(self.owner)
        if choose is None:
            return 0
        group = self._groups.get(self[0], 0)
        places: list[int] = []
        for place in range(len(self)):
            handle = self[place]
            if self._groups.get(handle, 0) != group:
                continue
            if not _is_step(handle) or len(places) == MOST_AT_ONCE:
                break
            if _is_of_the_program(handle):
                places.append(place)
        return places[choose(len(places))] if len(places) > 1 else 0


def _is_step(handle: asyncio.Handle) -> bool:
    """Whether it begins or resumes a task; `loop.call_soon(task.cancel)` does not."""
    callback = handle._callback  # type: ignore[attr-defined]
    if type(callback).__name__ == _STEP:
        return True
    return getattr(callback, "__name__", "") in _OF_ITS_OWN and isinstance(
        getattr(callback, "__self__", None), asyncio.Task
    )


def _is_of_the_program(step: asyncio.Handle) -> bool:
    """Whether it is a task that somebody wrote; one that closes a generator comes when memory is tidied up."""
    task: asyncio.Task[object] = step._callback.__self__  # type: ignore[attr-defined]
    return inspect.iscoroutine(task.get_coro())
