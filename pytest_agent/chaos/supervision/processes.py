"""The processes of this machine, as far as `/proc` tells. Where there is none, nothing is seen."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
SEES_PROCESSES = (_PROC / "self" / "statm").exists()
"""Whether this system tells of other processes: who their parents are, and how much memory they hold."""

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Process:
    """One that lives; `pid` and its `command` in one line, the program without its folder."""

    pid: int
    command: str


def resident_bytes(pid: int) -> int | None:
    """What the process holds in memory. None where it is gone, or where the system does not tell."""
    try:
        pages = (_PROC / str(pid) / "statm").read_bytes().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * resource.getpagesize()


def peak_bytes() -> int:
    """The most that this process has ever held in memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def has_children() -> bool:
    """Whether this process has any child at all, dead ones that nobody has waited for included. One system call."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(pid: int) -> list[Process]:
    """All living processes below this one, in the order in which they were started."""
    parents = {}
    for folder in _PROC.iterdir() if SEES_PROCESSES else ():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name of the program stands in brackets, and may itself have blanks and brackets.
                state, above = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                parents[int(folder.name)] = (int(above), state)
    below, found = {pid}, True
    while found:
        found = False
        for one, (parent, _) in parents.items():
            if parent in below and one not in below:
                below.add(one)
                found = True
    return [Process(one, _command(one)) for one in sorted(below - {pid}) if parents[one][1] not in "ZX"]


def kill_all(processes: list[Process]) -> None:
    """End them at once. One that is gone already is no trouble."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGKILL)


def adopt_orphans() -> None:
    """On Linux: what a child of this process leaves behind becomes its own child, and not that of the system."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """On Linux: this process is killed when the one that forked it is gone."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _command(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return "?"
    line = " ".join([Path(words[0]).name, *(" ".join(word.split()) for word in words[1:])])
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
