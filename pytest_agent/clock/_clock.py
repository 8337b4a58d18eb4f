"""The clock that a test holds."""

from __future__ import annotations

import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from pytest_agent.clock import _real
from pytest_agent.clock._active import active, set_active
from pytest_agent.clock._descriptors import HasFileno, number
from pytest_agent.clock._engine import Engine
from pytest_agent.clock._inside import Inside
from pytest_agent.clock._install import catch_up, put_in, take_out
from pytest_agent.clock._obstacles import Program
from pytest_agent.clock._threads import place
from pytest_agent.clock._timeline import Timeline
from pytest_agent.clock._waits import RealWait, VirtualClockWarning
from pytest_agent.clock._wall import Wall

_NS = 1_000_000_000


def _caller() -> str:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in {__name__, "contextlib"}:
        frame = frame.f_back
    return place(frame)


class Clock:
    """Virtual time for a whole process, from `install` to `uninstall`.

    `epoch_s` is the wall time at which it starts (Unix seconds; 2026-01-01T00:00:00Z), `monotonic_s` the
    reading of `time.monotonic`, `time.perf_counter` and the event loop. Time stands still while the program
    computes, and jumps when it only waits. While work is in flight that takes real time it never jumps: it stands
    still for the first `still_s` real seconds, so that a short job costs no virtual time and two runs agree to the
    last digit, and runs at real pace after that.

    Time-outs of `threading`, `queue` and `concurrent.futures` are virtual too. These stay real: those of
    `lock.acquire` and `SimpleQueue.get`, what waits in `select`, `time.clock_gettime(CLOCK_MONOTONIC)`, functions of
    `time` kept as default arguments or in closures, and `time.sleep` and every time-out in a thread that was there
    before the clock and runs no counted job. A loop that reads the time until a deadline without ever sleeping does
    not end: time stands still.
    """

    def __init__(self, *, epoch_s: float = 1_767_225_600.0, monotonic_s: float = 1_000.0, still_s: float = 1.0) -> None:
        self._epoch_ns = round(epoch_s * _NS)
        self._start_s = float(monotonic_s)
        self._timeline = Timeline(self._start_s)
        self._program = Program()
        self._engine = Engine(self._program, self._timeline, self._show, still_s=still_s)
        self._wall = Wall()
        self._installed_at = ""
        # For the loop and the pools, not for test authors.
        self.inside = Inside(self._engine, self._program, self.monotonic, catch_up)

    def __repr__(self) -> str:
        where = f", installed at {self._installed_at}" if self._installed_at else ""
        return f"<Clock {self.elapsed_s} s after its start{where}>"

    def time(self) -> float:
        """The virtual wall clock, in Unix seconds."""
        return self._wall_ns() / _NS

    def monotonic(self) -> float:
        """The virtual monotonic clock, in seconds."""
        at_s, since = self._timeline.state
        if since is None:
            return at_s
        with self._engine.lock:
            return self._timeline.now()

    @property
    def elapsed_s(self) -> float:
        """Virtual seconds since the clock was made, to the nanosecond."""
        return round(self.monotonic() - self._start_s, 9)

    def advance(self, seconds: float) -> None:
        """Move time forward by hand; whoever waits for a time up to then wakes up, and sees the new time."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock cannot be advanced by {seconds!r} seconds: it goes forward, to a time")
        with self._engine.lock:
            self._timeline.move_to(self._timeline.now() + seconds)
            self._show()
            self._engine.wake_due()
            self._engine.changed()

    def sleep(self, seconds: float) -> None:
        """Wait `seconds` of virtual time, as `time.sleep` does while the clock is installed.

        Raises what `time.sleep` raises for such a number. A clock that is not installed simply moves on.
        """
        seconds = seconds + 0.0
        if not seconds >= 0:
            raise ValueError("sleep length must be non-negative")
        if seconds == math.inf:
            raise OverflowError("timestamp too large to convert to C _PyTime_t")
        if active() is not self:
            self.advance(seconds)
        elif seconds == 0 or self._sleeps_really():
            _real.sleep(seconds)
        else:
            self.inside.sleep(seconds)

    def busy(self, what: str) -> AbstractContextManager[None]:
        """Count real work in flight for the duration of the block: time runs at real pace, never jumps."""
        return self.inside.work(what)

    @property
    def in_flight(self) -> list[str]:
        """The real work that holds time now, as it was named."""
        with self._engine.lock:
            return [job.what for job in self._program.jobs.at_work(self._program.waiters)]

    @property
    def waits(self) -> list[RealWait]:
        """What was really waited for without being counted as work, the longest wait first."""
        with self._engine.lock:
            return self._engine.ledger.waits()

    def ignore_thread(self, name: str) -> None:
        """Never wait for threads of this name (`*` and `?` match as in file names): they are idle."""
        with self._engine.lock:
            self._program.threads.ignore(name)
            self._engine.changed()

    def ignore_socket(self, what: int | str | HasFileno) -> None:
        """Never wait for a descriptor that a loop watches: a socket, its number, or a part of its name.

        The name is the one in the warning: `ignore_socket('127.0.0.1:5432')`.
        """
        with self._engine.lock:
            self._program.ignored_descriptors.append(what if isinstance(what, str) else number(what))
            self._engine.changed()

    def know_peer(self, address: str, at_rest: Callable[[int], bool]) -> None:
        """A server of the harness's own at `127.0.0.1:port`: a socket to it keeps time only while it has work.

        `at_rest` is asked, from any thread, for the port of the client's end of a connection: whether nothing that was
        sent there is left to be read or to be answered. While there is, time runs at real pace.
        """
        with self._engine.lock:
            self._program.known_peers[f"socket to {address}"] = at_rest
            self._engine.changed()

    def order_tasks(self, choose: Callable[[int], int]) -> None:
        """Ask whenever several tasks of a loop are ready at one moment, in the thread of the test.

        `choose` is given how many, two at least, and says which goes first, counted from 0 in the usual order. Those
        that different threads or sockets have woken are in no order that could be chosen.
        """
        self.inside.choose = choose

    def move_wall(self, by_s: float) -> None:
        """Set the wall clock by so many seconds, forward or back, as a time server does; no other clock moves."""
        if not -math.inf < by_s < math.inf:
            raise ValueError(f"a wall clock cannot be set by {by_s!r} seconds")
        with self._engine.lock:
            self._epoch_ns += round(by_s * _NS)
            self._show()

    def install(self) -> None:
        """Replace time in this process; the calling thread is the test's own. Again does nothing.

        Raises RuntimeError when another clock is installed.
        """
        other = active()
        if other is self:
            return
        if other is not None:
            raise RuntimeError(
                f"another clock is installed: {other!r}. A process has one time: uninstall that one first."
            )
        with self._engine.lock:
            self._installed_at = _caller()
            self._program.home = threading.get_ident()
            self._program.threads.installed()
            self._wall.start(self._wall_ns())
            set_active(self)
            put_in()
            self._engine.start(installed=True)

    def uninstall(self) -> None:
        """Give real time back and release who sleeps; time stands still until the next `install`.

        Warns once with `VirtualClockWarning` if it waited really for something unknown.
        """
        if active() is not self:
            return
        with self._engine.lock:
            set_active(None)
            take_out()
            self._engine.start(installed=False)
            self._wall.stop()
            self._program.threads.uninstalled()
            self._installed_at = ""
            message = self._engine.ledger.message_once()
        if message is not None:
            warnings.warn(message, VirtualClockWarning, stacklevel=2)

    @contextmanager
    def installed(self) -> Iterator[Clock]:
        """Install for the duration of a block; a clock that is installed already stays so."""
        outer = active() is self
        self.install()
        try:
            yield self
        finally:
            if not outer:
                self.uninstall()

    def _wall_ns(self) -> int:
        return self._epoch_ns + round((self.monotonic() - self._start_s) * _NS)

    def _show(self) -> None:
        self._wall.show(self._wall_ns(), running=self._timeline.running and not self._timeline.still_left_s)

    def _sleeps_really(self) -> bool:
        ident = threading.get_ident()
        with self._engine.lock:
            threads = self._program.threads
            return threads.is_foreign(ident) and ident not in self._program.jobs.idents()
