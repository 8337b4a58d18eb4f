"""Leases: which worker has a task, and how to tell that it is gone before its time is over.

An owner is named `place/pid/random`, anew for every run. A lease of somebody else is waited out, with one
exception that is knowledge and no guess: the owner was a run of this process that has ended, or a process of
this very machine that no longer exists. Where the place cannot be told (no /proc), only time tells.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from agentfsm.records import Task

_RUNNING: set[str] = set()  # the runs of this process: a fact about the process, so it is kept with it


@contextlib.contextmanager
def owner() -> Iterator[str]:
    """Give a run its name, known as running until the block ends."""
    name = f"{_place()}/{os.getpid()}/{os.urandom(6).hex()}"
    _RUNNING.add(name)
    try:
        yield name
    finally:
        _RUNNING.discard(name)


def left(task: Task, now: float) -> float:
    """Seconds until another worker may take the task over; 0 where nobody has it."""
    if task.owner is None or _gone(task.owner):
        return 0.0
    return max(0.0, task.lease_until - now)


def _gone(name: str) -> bool:
    place, pid, _ = name.rsplit("/", 2)
    if place != _place():
        return False
    if int(pid) == os.getpid():
        return name not in _RUNNING
    return place.startswith("linux:") and not _exists(int(pid))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 asks and does nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def _place() -> str:
    """Return a name that two processes share only if they see the same table of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"linux:{boot}:{Path('/proc/self/ns/pid').readlink().name}"
    except OSError:
        return f"process:{os.urandom(8).hex()}"
