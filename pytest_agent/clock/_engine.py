"""Moves time: jumps when everybody waits, runs at real pace while anything is or may be at work.

Everybody who waits asks `decide`. The one with the earliest deadline decides for all; the others wait until
they are woken, since whoever changes anything wakes the one who decides.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from pytest_agent.clock import _real
from pytest_agent.clock._obstacles import Kind, Obstacle, Program
from pytest_agent.clock._timeline import Timeline
from pytest_agent.clock._waiters import IdleLoop, Waiter, WaitingThread
from pytest_agent.clock._waits import WaitLedger

# What may be over in a moment is waited for with time standing still, so that starting three threads in a row
# costs no virtual time; after so many real seconds without a jump, time runs. Counted since the last jump.
_STILL_S = {Kind.THREAD: 0.1, Kind.UNKNOWN: 0.02, Kind.DESCRIPTOR: 0.0}
# The same for counted work: as often between two jumps may it cost its whole allowance.
_STILLS_BETWEEN_JUMPS = 5
_FIRST_POLL_S, _LAST_POLL_S = 0.00005, 0.01
# How long a thread from before the clock gets to wake a loop that nothing else can wake.
_STRANGERS_S = 0.1


class Engine:
    """The decisions. `lock` guards the engine and all of `program`; reentrant because of signal handlers."""

    def __init__(self, program: Program, timeline: Timeline, show: Callable[[], None], *, still_s: float) -> None:
        self.lock = threading.RLock()
        self.ledger = WaitLedger()
        self._program = program
        self._timeline = timeline
        self._still_s = still_s
        self._show = show  # tells the wall clock that time moved or changed its pace
        self._installed = False
        self._order = 0
        self._unseen_work = False  # real pace because of something unknown
        self._blamed: Obstacle | None = None
        self._blamed_since = 0.0
        self._still_since: float | None = None
        self._stood_still_s = 0.0
        self._work_since = 0.0
        self._poll_s = _FIRST_POLL_S
        self._hangs_since: float | None = None

    def start(self, *, installed: bool) -> None:
        """The clock comes or goes. When it goes everybody who waits is released."""
        self._installed = installed
        if not installed:
            self._clear()
            for waiter in self._program.waiters.values():
                waiter.woken = True
                waiter.wake()
            self._program.waiters.clear()
            self._program.loops.clear()
        self.refresh()

    def enter(self, waiter: Waiter) -> None:
        """`waiter` begins to wait."""
        self._order += 1
        waiter.order = self._order
        self._program.waiters[waiter.ident] = waiter
        self._changed(waiter)

    def leave(self, waiter: Waiter) -> None:
        """`waiter` does not wait any more, for whatever reason."""
        if self._program.waiters.get(waiter.ident) is waiter:
            was_driver = self._driver() is waiter
            del self._program.waiters[waiter.ident]
            if was_driver:
                self._clear()
            self._changed(waiter)

    def changed(self) -> None:
        """Something began or ended: look again."""
        self._changed(None)

    def refresh(self) -> None:
        """Set the pace of time by what is at work now."""
        at_work = self._installed and bool(self._program.jobs.at_work(self._program.waiters))
        running = self._installed and (at_work or self._unseen_work)
        if running != self._timeline.running:
            self._timeline.run(running=running, still_s=self._stand_still(begins=running))
            self._show()

    def _stand_still(self, *, begins: bool) -> float:
        """How long counted work that begins costs no virtual time; and count what the work that ended used up.

        The allowance since the last jump is bounded: a program that does nothing but submit one short job after the
        other must reach its deadline.
        """
        now = _real.perf_counter()
        if not begins:
            self._stood_still_s += min(now - self._work_since, self._still_s)
            return 0.0
        self._work_since = now
        left_s = _STILLS_BETWEEN_JUMPS * self._still_s - self._stood_still_s
        return 0.0 if self._unseen_work else max(0.0, min(self._still_s, left_s))

    def decide(self, me: Waiter) -> float | None:
        """Jump if nothing stands in the way; else how long `me` should really wait before asking again.

        `me.woken` tells whether its time has come. None: until woken. Infinite: nothing will ever wake it.
        """
        if self._driver() is not me:
            return None
        self._settle_blame()
        if self._timeline.now() >= me.deadline_s:
            self.wake_due()
            return 0.0
        obstacle = self._program.obstacle()
        if obstacle.kind is Kind.NOTHING:
            return self._jump(me)
        self._hangs_since = None
        return self._wait_for(me, obstacle)

    def wake_due(self) -> None:
        """Wake everybody whose time has come. From here on they count as at work, before they really run."""
        now = self._timeline.now()
        due = [waiter for waiter in self._program.waiters.values() if waiter.deadline_s <= now]
        for waiter in sorted(due, key=_rank):
            del self._program.waiters[waiter.ident]
            waiter.woken = True
            if waiter.ident != threading.get_ident():
                waiter.wake()
        if due:
            self._clear()
            self._changed(None)

    def _driver(self) -> Waiter | None:
        return min(self._program.waiters.values(), key=_rank, default=None)

    def _changed(self, by: Waiter | None) -> None:
        self.refresh()
        self._poll_s = _FIRST_POLL_S
        driver = self._driver()
        if driver is not None and driver is not by:
            driver.wake()

    def _jump(self, me: Waiter) -> float | None:
        if me.deadline_s == math.inf:
            return self._hang(me)
        self._unseen_work = False
        self._still_since = None
        self._stood_still_s = 0.0
        self._timeline.move_to(me.deadline_s)
        self._show()
        self.wake_due()
        return 0.0

    def _hang(self, me: Waiter) -> float | None:
        # A loop of another thread is idle by profession: only that of the test itself is stuck.
        if me.ident != self._program.home or not isinstance(me, (IdleLoop, WaitingThread)):
            return None
        now = _real.perf_counter()
        if self._hangs_since is None:
            self._hangs_since = now
        left = self._hangs_since + _STRANGERS_S - now
        return left if left > 0 and self._program.threads.strangers(me.ident) else math.inf

    def _wait_for(self, me: Waiter, obstacle: Obstacle) -> float | None:
        left: float | None = me.deadline_s - self._timeline.now()
        if left == math.inf:
            left = None
        if obstacle.kind is not Kind.WORK:
            now = _real.perf_counter()
            if self._still_since is None:
                self._still_since = now
            still_left = _STILL_S[obstacle.kind] - (now - self._still_since)
            if still_left > 0:
                return min(self._next_poll_s(), still_left)
            self._blamed, self._blamed_since = obstacle, now
        self._unseen_work = obstacle.kind is not Kind.WORK
        self.refresh()
        still_left_s = self._timeline.still_left_s
        if still_left_s:
            # Asked again when time begins to run, so that the wall clock begins then too.
            left = still_left_s if left is None else min(still_left_s, left)
        elif self._timeline.running:
            self._show()
        if not obstacle.polled:
            return left
        poll_s = self._next_poll_s()
        return poll_s if left is None else min(poll_s, left)

    def _next_poll_s(self) -> float:
        self._poll_s = min(self._poll_s * 1.5, _LAST_POLL_S)
        return self._poll_s

    def _settle_blame(self) -> None:
        if self._blamed is not None:
            self.ledger.add(self._blamed.causes, _real.perf_counter() - self._blamed_since)
            self._blamed = None

    def _clear(self) -> None:
        self._settle_blame()
        self._unseen_work = False
        self._hangs_since = None


def _rank(waiter: Waiter) -> tuple[float, int]:
    return waiter.deadline_s, waiter.order
