"""What an agent has started and not ended: tasks, threads, child processes, sockets."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pytest_agent.clock import describe_descriptor
from pytest_agent.trace import AgentLeft

_OURS = "pytest-agent-"  # so the harness names its own threads
_WAITS = frozenset({"threading", "queue"})
_IDLE_IN = frozenset({("concurrent.futures.thread", "_worker"), ("anyio._backends._asyncio", "run")})


@dataclass(frozen=True, slots=True)
class Alive:
    """What is there at one moment, by its identity, each with a name for people."""

    tasks: dict[asyncio.Task[object], str]
    threads: dict[threading.Thread, str]
    children: dict[int, str]
    sockets: dict[tuple[int, int], str]

    def since(self, before: Alive) -> AgentLeft:
        """What has come since then and is still there."""
        return AgentLeft(
            tasks=sorted(name for task, name in self.tasks.items() if task not in before.tasks),
            threads=sorted(name for thread, name in self.threads.items() if thread not in before.threads),
            children=sorted(name for pid, name in self.children.items() if pid not in before.children),
            sockets=sorted(name for known, name in self.sockets.items() if known not in before.sockets),
        )


def alive(*, cancelled: bool = True) -> Alive:
    """What is there now. To be called in a coroutine: the tasks are those of its loop, without its own.

    `cancelled` says whether tasks count that were cancelled and have not ended yet.
    """
    me = asyncio.current_task()
    tasks = {
        task: _name(task) for task in asyncio.all_tasks() if task is not me and (cancelled or not task.cancelling())
    }
    return Alive(tasks, dict(_threads()), dict(_children()), dict(_sockets()))


def _name(task: asyncio.Task[object]) -> str:
    name = getattr(task.get_coro(), "__qualname__", "a coroutine")
    return str(name).rpartition("<locals>.")[2]


def _threads() -> Iterator[tuple[threading.Thread, str]]:
    """All that do something: not a pool's worker without a job, nor the thread of the harness's own server."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if not thread.name.startswith(_OURS) and not _is_idle(frames.get(thread.ident or 0)):
            yield thread, thread.name


def _is_idle(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_globals.get("__name__") in _WAITS:
        frame = frame.f_back
    return frame is not None and (frame.f_globals.get("__name__"), frame.f_code.co_name) in _IDLE_IN


def _children() -> Iterator[tuple[int, str]]:
    """Those that run; one that has ended and was not waited for does no harm. None where there is no /proc."""
    mine = b"%d" % os.getpid()
    # By the system's own calls: there are hundreds, and this is asked twice in a run.
    for pid in filter(str.isdecimal, os.listdir("/proc") if os.path.isdir("/proc") else ()):  # noqa: PTH112, PTH208
        try:
            stat_file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:  # it has just ended
            continue
        try:
            line = os.read(stat_file, 4096)
        except OSError:  # likewise
            continue
        finally:
            os.close(stat_file)
        name, _, rest = line.rpartition(b")")
        state, parent = rest.split(None, 2)[:2]
        if parent == mine and state != b"Z":
            yield int(pid), name.partition(b"(")[2].decode(errors="replace")


def _sockets() -> Iterator[tuple[tuple[int, int], str]]:
    for path in Path("/dev/fd").iterdir():
        fd = int(path.name)
        try:
            found = os.fstat(fd)
        except OSError:  # the descriptor of the listing itself
            continue
        if stat.S_ISSOCK(found.st_mode):
            yield (fd, found.st_ino), describe_descriptor(fd).name.partition(" (fd ")[0]
