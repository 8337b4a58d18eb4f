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

# The test run itself, and those who poll other processes: nothing of theirs is the program under test.
_THE_RUN = frozenset(
    {
        *("_pytest", "coverage", "execnet", "hypothesis", "pluggy", "pytest", "time_machine", "xdist"),
        *("pytest_asyncio", "pytest_cov", "pytest_randomly", "pytest_rerunfailures", "pytest_timeout"),
        *("multiprocessing", "socketserver", "subprocess"),
    }
)
# These really wait, with locks and select: with virtual time their time-outs would never end. They do not
# sleep themselves, but they call the functions of others: `Thread(target=time.sleep)` must sleep virtually.
_WHO_WAIT_REALLY = frozenset({"asyncio", "concurrent", "queue", "selectors", "socket", "threading"})
_OWN_PACKAGE = __name__.rpartition(".")[0]
_verdicts: dict[str, bool] = {}


def keeps_real_time(module_name: str) -> bool:
    """Whether a module of this name reads real time even while a clock is installed.

    They are told apart by who calls, so it does not matter whether they look up `time.monotonic` at each call
    or kept it at import, nor when they were imported.
    """
    verdict = _verdicts.get(module_name)
    if verdict is None:
        top = module_name.partition(".")[0]
        verdict = _verdicts[module_name] = top in _THE_RUN or top in _WHO_WAIT_REALLY
    return verdict


def keeps_originals(module_name: str) -> bool:
    """Whether no stand-in may be put into a module of this name: into ours neither."""
    return keeps_real_time(module_name) or f"{module_name}.".startswith(f"{_OWN_PACKAGE}.")


def _caller() -> str:
    name = sys._getframe(2).f_globals.get("__name__", "")
    return name if isinstance(name, str) else ""


def monotonic() -> float:
    """`time.monotonic`, virtual while a clock is installed."""
    clock = active()
    if clock is None or keeps_real_time(_caller()):
        return _real.monotonic()
    return clock.monotonic()


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
    if clock is None or _caller().partition(".")[0] in _THE_RUN:
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
