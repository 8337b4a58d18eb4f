"""What time it is, for those who compute from it when a time-out is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_agent.clock._clock import Clock


_OVER = -1.0


class RealSeconds(float):
    """What is left of a time-out that began in real time."""

    __slots__ = ()


class Reading(float):
    """Virtual monotonic seconds that know whose they are: `deadline - now` is right though clocks come and go between.

    A clock that goes away ends the time-outs that were measured with it. A time-out that began before the clock came
    is real to its end.
    """

    __slots__ = ("_clock", "_real_s")
    _clock: Clock
    _real_s: float

    @classmethod
    def of(cls, clock: Clock, at_s: float, real_s: float) -> Reading:
        """`at_s` of `clock`, at the real time `real_s`."""
        reading = cls(at_s)
        reading._clock, reading._real_s = clock, real_s
        return reading

    def __add__(self, seconds: float) -> Reading:
        return Reading.of(self._clock, float(self) + seconds, self._real_s + seconds)

    __radd__ = __add__

    def __sub__(self, now: float) -> float:
        if not isinstance(now, Reading) or now._clock is not self._clock:
            return _OVER
        # `as_completed` goes on until less than nothing is left, and time stands still until it waits again.
        return float(self) - float(now) or _OVER

    def __rsub__(self, deadline: float) -> RealSeconds:
        return RealSeconds(deadline - self._real_s)
