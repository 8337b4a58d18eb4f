"""What the functions of `time` become while a clock is installed.

They are made once and ask for the active clock at every call. A module that kept one of them (imported while
a clock was installed) therefore gets real time back when the clock goes, without being found again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_agent.clock import _real
from pytest_agent.clock._active import active
from pytest_agent.clock._callers import follows, is_of_the_run, keeps_real_time, module_of, waits_for_others
from pytest_agent.clock._reading import Reading


def _caller() -> str:
    return module_of(sys._getframe(2))


def monotonic() -> float:
    """`time.monotonic`, virtual while a clock is installed."""
    clock = active()
    if clock is None or keeps_real_time(caller := _caller()):
        return _real.monotonic()
    if not waits_for_others(caller):
        return clock.monotonic()
    now_s = _real.monotonic()
    return Reading.of(clock, clock.monotonic(), now_s) if follows(clock, sys._getframe(1)) else now_s


def monotonic_ns() -> int:
    """`time.monotonic_ns`, virtual while a clock is installed."""
    clock = active()
    if clock is None or keeps_real_time(_caller()):
        return _real.monotonic_ns()
    return round(clock.monotonic() * 1e9)


def perf_counter() -> float:
    """`time.perf_counter`, virtual while a clock is installed."""
    clock = active()
    if clock is None or keeps_real_time(_caller()):
        return _real.perf_counter()
    return clock.monotonic()


def perf_counter_ns() -> int:
    """`time.perf_counter_ns`, virtual while a clock is installed."""
    clock = active()
    if clock is None or keeps_real_time(_caller()):
        return _real.perf_counter_ns()
    return round(clock.monotonic() * 1e9)


def sleep(seconds: float, /) -> None:
    """`time.sleep`, virtual while a clock is installed."""
    clock = active()
    if clock is None or is_of_the_run(_caller()):
        _real.sleep(seconds)
    else:
        clock.sleep(seconds)


STAND_INS: dict[Callable[..., Any], Callable[..., Any]] = {
    _real.sleep: sleep,
    _real.monotonic: monotonic,
    _real.monotonic_ns: monotonic_ns,
    _real.perf_counter: perf_counter,
    _real.perf_counter_ns: perf_counter_ns,
}
