"""The connections of a pool: who finds none free waits in line, on the virtual clock, as long as its client says."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from pytest_agent.clock import Gate, NothingToWaitFor
from pytest_agent.errors import RunAbort

Release = Callable[[], None]


def no_slot() -> None:
    """Gives back what was not taken."""


class _Slot:
    """One connection in use; giving it back twice does no harm."""

    __slots__ = ("_give_back", "_held")

    def __init__(self, give_back: Release) -> None:
        self._give_back = give_back
        self._held = True

    def __call__(self) -> None:
        if self._held:
            self._held = False
            self._give_back()


class TaskSlots:
    """Those of an async client."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._line: deque[asyncio.Future[None]] = deque()

    async def take(self, timeout_s: float | None) -> Release | None:
        """A connection, by the function that gives it back; None where there was none in time."""
        if self._free > 0:
            self._free -= 1
            return _Slot(self._give_back)
        mine = asyncio.get_running_loop().create_future()
        self._line.append(mine)
        try:
            async with asyncio.timeout(timeout_s):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():
                self._give_back()
            if isinstance(error, TimeoutError):
                return None
            raise
        return _Slot(self._give_back)

    def _give_back(self) -> None:
        while self._line:
            first = self._line.popleft()
            if not first.done() and not first.get_loop().is_closed():
                first.set_result(None)
                return
        self._free += 1


class ThreadSlots:
    """Those of a client that is used from several threads."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._line: deque[Gate] = deque()
        self._lock = threading.Lock()

    def take(self, timeout_s: float | None) -> Release | None:
        """As of TaskSlots. Raises RunAbort where nobody is there who could give one back."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return _Slot(self._give_back)
            mine = Gate()
            self._line.append(mine)
        try:
            in_time = mine.wait(timeout_s)
        except NothingToWaitFor as error:
            raise RunAbort("hung", "the client waits for ever for a connection of its own pool") from error
        with self._lock:
            if mine in self._line:
                self._line.remove(mine)
            elif not in_time:
                in_time = True  # it was handed over at the last moment
        return _Slot(self._give_back) if in_time else None

    def _give_back(self) -> None:
        with self._lock:
            if self._line:
                self._line.popleft().open()
            else:
                self._free += 1
