"""The loop would wait for ever: say which tasks wait, and where."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import Iterator
from types import CodeType, FrameType

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


class NothingToWaitFor(RuntimeError):
    """The event loop would wait for ever: no timer, no I/O, no work in flight."""


def nothing_to_wait_for(loop: asyncio.AbstractEventLoop) -> NothingToWaitFor:
    """The error for a loop in which every task waits for another one, or for nothing."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"  {task.get_name()} ({_name_of(task)}) waits at {_where(task)}" for task in tasks]
    return NothingToWaitFor(
        "the event loop would wait for ever: no timer, no I/O, no work in flight, and "
        + (f"{len(tasks)} task(s) waiting:\n" + "\n".join(lines) if tasks else "no task at all.")
        + "\nExpected: something that wakes one of them. Give the wait a time-out (asyncio.timeout), or, if "
        "a thread of your own wakes it, hold `with clock.busy('what it does'):` while it works."
    )


def _name_of(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", "a coroutine")


def _where(task: asyncio.Task[object]) -> str:
    frames = list(_await_chain(task.get_coro()))
    if not frames:
        return "an unknown place"
    deepest = frames[-1]
    authors = next((frame for frame in reversed(frames) if not _is_library(frame.f_code)), deepest)
    text = f"{authors.f_code.co_filename}:{authors.f_lineno}"
    return text if authors is deepest else f"{text} (in {deepest.f_code.co_qualname})"


def _is_library(code: CodeType) -> bool:
    return code.co_filename.startswith(_LIBRARIES) or code.co_filename.startswith("<")


def _await_chain(awaited: object) -> Iterator[FrameType]:
    # A suspended coroutine knows only its own frame; what it awaits has to be followed by hand.
    while awaited is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
                break
        else:
            return
