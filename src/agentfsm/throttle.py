"""Throttling: how many calls of one tool run at once in this process, and how many begin within a minute.

Each tool has a throttle of its own, so one that is slow fills its own slots and nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from agentfsm.contracts import ToolContract
from agentfsm.errors import Throttled
from agentfsm.ports import Clock
from agentfsm.recovery import Deadline


def throttle_of(contract: ToolContract, clock: Clock) -> Throttle | None:
    """Return the throttle of a tool, or None where its contract limits neither."""
    free = contract.concurrency is None and contract.per_minute is None
    return None if free else Throttle(contract, clock)


class Throttle:
    """Lets calls through in the order in which they came.

    `concurrency` calls are under way at most. In no 60 s do more than `per_minute` begin; below one a minute, one
    begins in `60 / per_minute` seconds. A burst is let through at once as long as both hold.
    """

    def __init__(self, contract: ToolContract, clock: Clock) -> None:
        self._tool = contract.name
        self._clock = clock
        self._slots = contract.concurrency
        rate = contract.per_minute
        most = 0 if rate is None else max(1, int(rate))
        self._begun: deque[float] = deque(maxlen=most)
        self._window_s = 60.0 * most / rate if rate else 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fresh()

    @contextlib.asynccontextmanager
    async def slot(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold a slot while the block runs. Raise Throttled where none is to be had before the deadline.

        What can be known beforehand is refused at once; give a near deadline where waiting is better done elsewhere.
        """
        if (loop := asyncio.get_running_loop()) is not self._loop:
            self._loop = loop
            self._fresh()  # calls of a loop that is gone are gone
        await self._enter(deadline)
        freed = self._freed
        try:
            yield
        finally:
            if freed is self._freed:
                self._busy -= 1
            freed.set()

    def _fresh(self) -> None:
        self._busy = 0
        self._ahead = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def _enter(self, deadline: Deadline) -> None:
        self._refuse_late(deadline, self._ahead)
        self._ahead += 1
        try:
            async with asyncio.timeout(deadline.remaining()), self._turn:
                while self._slots is not None and self._busy >= self._slots:
                    self._freed.clear()
                    await self._freed.wait()
                while (left := self._pause(0)) > 0:
                    self._refuse_late(deadline, 0)
                    await self._clock.sleep(left)
                self._busy += 1
                self._begun.append(self._clock.monotonic())
        except TimeoutError:
            said = f"{self._tool}: {self._busy} calls are under way and none ended in time"
            raise Throttled(said, retry_after_s=self._pause(self._ahead - 1) or None, tool=self._tool) from None
        finally:
            self._ahead -= 1

    def _refuse_late(self, deadline: Deadline, ahead: int) -> None:
        pause = self._pause(ahead)
        if pause >= deadline.remaining():
            said = f"{self._tool}: no call can begin within the {deadline.remaining():.1f} s that are left"
            raise Throttled(said, retry_after_s=pause or None, tool=self._tool)

    def _pause(self, ahead: int) -> float:
        """Seconds until a call with so many others before it may begin at the soonest."""
        most = self._begun.maxlen
        if not most:
            return 0.0
        begun = len(self._begun)
        place = begun + ahead - most  # of the call whose beginning must be a window ago
        rounds = max(0, (place - begun) // most + 1)  # where that one is itself still to come
        place -= rounds * most
        left = self._begun[place] + self._window_s - self._clock.monotonic() if place >= 0 else 0.0
        return max(0.0, left) + rounds * self._window_s
