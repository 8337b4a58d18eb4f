"""The wall clock: `time.time`, `datetime.now`, `date.today`. They are C, so time-machine replaces them."""

from __future__ import annotations

import time

import time_machine

_NS = 1_000_000_000


class Wall:
    """Shows one wall time to the whole process between `start` and `stop`. Times are Unix nanoseconds."""

    def __init__(self) -> None:
        self._travel: time_machine.travel | None = None
        self._traveller: time_machine.Traveller | None = None
        self._shown_ns = 0
        self._running = False

    def start(self, now_ns: int) -> None:
        """Replace the wall clock; it stands still at `now_ns`."""
        seconds, rest = divmod(now_ns, _NS)
        self._travel = time_machine.travel(seconds, tick=False)
        self._traveller = self._travel.start()
        self._shown_ns = now_ns - rest
        self.show(now_ns)

    def stop(self) -> None:
        """Give the real wall clock back."""
        if self._travel is not None:
            self._travel.stop()
        self._travel = self._traveller = None
        self._running = False

    def show(self, now_ns: int, *, running: bool = False) -> None:
        """Move to `now_ns`, and from there run at real pace or stand still."""
        if self._traveller is None:
            return
        if running or self._running:
            seconds, rest = divmod(now_ns, _NS)
            self._traveller.move_to(seconds, tick=running)
            self._running = running
            self._shown_ns = now_ns - rest
        if now_ns != self._shown_ns:
            self._traveller.shift((now_ns - self._shown_ns) / _NS)
            self._shown_ns = now_ns
        if running:
            time.time()  # a traveller that ticks starts to tick when it is first asked
