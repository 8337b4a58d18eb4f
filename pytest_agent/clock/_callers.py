"""Whose call it is: the test run itself lives in real time, and so do those who wait in `select`."""

from __future__ import annotations

import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_agent.clock._clock import Clock

# The test run itself, and those who poll other processes: nothing of theirs is the program under test.
_THE_RUN = frozenset(
    {
        *("_pytest", "coverage", "execnet", "hypothesis", "pluggy", "pytest", "time_machine", "xdist"),
        *("pytest_asyncio", "pytest_cov", "pytest_randomly", "pytest_rerunfailures", "pytest_timeout"),
        *("multiprocessing", "socketserver", "subprocess"),
    }
)
# These really wait, in select: with virtual time their time-outs would never end. They do not sleep themselves, but
# they call the functions of others: `Thread(target=time.sleep)` must sleep virtually.
_WHO_WAIT_REALLY = frozenset({"asyncio", "selectors", "socket"})
# These wait for whoever called them.
_WHO_WAIT_FOR_OTHERS = frozenset({"concurrent", "queue", "threading"})
_OWN_PACKAGE = __name__.rpartition(".")[0]
_HARNESS = _OWN_PACKAGE.partition(".")[0]
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
    return keeps_real_time(module_name) or _is_the_clock(module_name)


def is_of_the_run(module_name: str) -> bool:
    """Whether a module of this name belongs to the test run and not to the program under test."""
    return module_name.partition(".")[0] in _THE_RUN


def waits_for_others(module_name: str) -> bool:
    """Whether a module of this name waits with a time-out that its caller has given."""
    return module_name.partition(".")[0] in _WHO_WAIT_FOR_OTHERS


def follows(clock: Clock, frame: FrameType | None) -> bool:
    """Whether a time-out in this thread is of `clock`'s time: not where the thread, or who gave it, is of the run."""
    if clock.inside.in_real_time():
        return False
    while frame is not None:
        module = module_of(frame)
        if not waits_for_others(module) and not _is_the_clock(module):
            return not _gives_real_time_outs(module)
        frame = frame.f_back
    # Nothing but `threading` all the way down: a timer, or a thread whose target is the method of an event.
    function = getattr(threading.current_thread(), "function", None)
    return not _gives_real_time_outs(str(getattr(function, "__module__", "")))


def module_of(frame: FrameType) -> str:
    """The name of the module whose code the frame runs, "" where it has none."""
    name = frame.f_globals.get("__name__", "")
    return name if isinstance(name, str) else ""


def _is_the_clock(module_name: str) -> bool:
    return f"{module_name}.".startswith(f"{_OWN_PACKAGE}.")


def _gives_real_time_outs(module_name: str) -> bool:
    # The harness waits for child processes and servers.
    return is_of_the_run(module_name) or module_name.partition(".")[0] == _HARNESS
