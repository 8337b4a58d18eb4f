"""What an event loop runs next, where it may choose: the order of tasks that are ready at one moment.

asyncio promises that callbacks run in the order in which they were registered, and programs lean on that. It promises
nothing about which of several ready *tasks* goes first, and in production the network decides. So only steps of tasks
change places: none overtakes a callback. What a thread or a socket has woken comes in an order of its own, which no
seed decides: it is neither chosen nor in the way.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

from pytest_agent.clock._active import active

MOST_AT_ONCE = 32
"""So many of the tasks that are ready at one moment are considered."""
_OF_ITS_OWN = frozenset({"task_wakeup", "_Task__wakeup", "_Task__step"})
_STEP = "TaskStepMethWrapper"

Choose = Callable[[int], int]
"""Given how many tasks are ready, two at least: which goes first, from 0. 0 is the usual order."""


class ReadyHandles(deque[asyncio.Handle]):
    """The queue of a loop. Whoever takes the next handle out of it may be given another task's than the first one's."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = 0  # the thread that runs the loop
        self._outside: set[asyncio.Handle] = set()
        self._since: int | None = None  # what stands behind here was scheduled by a callback that came from outside

    def from_outside(self, handle: asyncio.Handle) -> None:
        """It was scheduled by a thread, or by what a socket has to say."""
        self._outside.add(handle)

    def append(self, handle: asyncio.Handle, /) -> None:
        """As a deque's; what another thread appends comes from outside."""
        if self.owner and threading.get_ident() != self.owner:
            self._outside.add(handle)
        super().append(handle)

    def popleft(self) -> asyncio.Handle:
        """The handle that runs next."""
        if self._since is not None:
            self._mark(self._since)
        if len(self) > 1 and _is_step(self[0]) and self[0] not in self._outside:
            place = self._chosen()
            if place:
                handle = self[place]
                del self[place]
                return handle
        handle = super().popleft()
        if self._outside and handle in self._outside:
            self._outside.discard(handle)
            if not _is_step(handle):
                self._since = len(self)
        return handle

    def _mark(self, since: int) -> None:
        self._since = None
        self._outside.update(
            handle for handle in islice(self, since, None) if not isinstance(handle, asyncio.TimerHandle)
        )

    def _chosen(self) -> int:
        """The place of the handle that goes first."""
        clock = active()
        choose = None if clock is None else clock.inside.who_chooses(self.owner)
        if choose is None:
            return 0
        places: list[int] = []
        for place, handle in enumerate(self):
            if handle in self._outside:
                continue
            if not _is_step(handle) or len(places) == MOST_AT_ONCE:
                break
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
