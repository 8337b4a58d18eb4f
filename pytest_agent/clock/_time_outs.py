"""Waits for another thread that have a time-out: it is virtual, and who is woken goes on at once, as ever.

Events, queues, futures, semaphores, barriers and timers all wait in `threading.Condition.wait`; `Thread.join` has a way
of its own. `lock.acquire(timeout=)` and `SimpleQueue.get(timeout=)` are C, and stay real.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_agent.clock._active import active
from pytest_agent.clock._callers import follows
from pytest_agent.clock._reading import RealSeconds
from pytest_agent.clock._waiters import JoiningThread, SleepingThread

if TYPE_CHECKING:
    from pytest_agent.clock._clock import Clock
    from pytest_agent.clock._inside import Inside

_real_wait = threading.Condition.wait
_real_join = threading.Thread.join
_real_delete: Callable[[threading.Thread], None] = threading.Thread._delete  # type: ignore[attr-defined]


class _Notice(SleepingThread):
    """Stands among the waiters of a condition, where `notify` expects a lock that it can release."""

    def __init__(self, deadline_s: float, inside: Inside) -> None:
        super().__init__(deadline_s)
        self._inside = inside
        self.given = False

    def release(self) -> None:
        """The thread was notified: it counts as at work from here on. Raises RuntimeError the second time."""
        if self.given:
            raise RuntimeError("release unlocked lock")
        self.given = True
        try:
            self._inside.leave(self)
        finally:
            self.wake()


def _wait(self: Any, timeout: float | None = None) -> bool:
    """`Condition.wait`, whose time-out is virtual while a clock is installed."""
    clock = active()
    if timeout is None or clock is None or not _is_virtual(clock, timeout):
        return _real_wait(self, timeout)
    if not self._is_owned():
        raise RuntimeError("cannot wait on un-acquired lock")
    notice = _Notice(clock.inside.deadline(timeout), clock.inside)
    # Before the lock is released, since from then on it may be given.
    with clock.inside.waiting(notice):
        self._waiters.append(notice)
        saved = self._release_save()
        try:
            clock.inside.rest(notice, lambda: notice.given)
        finally:
            clock.inside.leave(notice)
            self._acquire_restore(saved)
            # One that was given in the moment of the time-out is not lost: no other thread will get it.
            if not notice.given:
                with suppress(ValueError):
                    self._waiters.remove(notice)
    return notice.given


_joining = threading.Lock()
_joiners: dict[threading.Thread, list[JoiningThread]] = {}


def _join(self: threading.Thread, timeout: float | None = None) -> None:
    """`Thread.join`, whose time-out is virtual while a clock is installed."""
    clock = active()
    if timeout is None or clock is None or not _is_virtual(clock, timeout) or clock.inside.is_outside(self):
        _real_join(self, timeout)
        return
    if self is threading.current_thread() or not self.is_alive():
        _real_join(self, timeout)
        return
    joiner = JoiningThread(clock.inside.deadline(timeout), self)
    with clock.inside.waiting(joiner):
        try:
            if _begins(joiner):
                clock.inside.rest(joiner, lambda: joiner.ended)
        finally:
            _stops(joiner)
    if joiner.ended:
        _real_join(self)  # a few steps in C are left of it


def _begins(joiner: JoiningThread) -> bool:
    with _joining:
        joiner.ended = joiner.thread not in threading.enumerate()
        if not joiner.ended:
            _joiners.setdefault(joiner.thread, []).append(joiner)
        return not joiner.ended


def _stops(joiner: JoiningThread) -> None:
    with _joining:
        joiners = _joiners.get(joiner.thread, [])
        if joiner in joiners:
            joiners.remove(joiner)
            if not joiners:
                del _joiners[joiner.thread]


def _delete(self: threading.Thread) -> None:
    """The last that a thread does. Who joins it counts as at work before the thread is gone."""
    clock = active()
    with _joining:
        joiners = _joiners.pop(self, [])
        for joiner in joiners:
            joiner.ended = True
            if clock is not None:
                clock.inside.leave(joiner)
        _real_delete(self)
    for joiner in joiners:
        joiner.wake()


def _is_virtual(clock: Clock, timeout: float) -> bool:
    if not 0 < timeout <= threading.TIMEOUT_MAX or isinstance(timeout, RealSeconds):
        return False
    return follows(clock, sys._getframe(2))


METHODS: list[tuple[type, str, Callable[..., Any], Callable[..., Any]]] = [
    (threading.Condition, "wait", _real_wait, _wait),
    (threading.Thread, "join", _real_join, _join),
    (threading.Thread, "_delete", _real_delete, _delete),
]
"""Class, name, original and stand-in."""
