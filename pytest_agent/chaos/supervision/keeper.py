"""A process between pytest and the one in which the agent runs: whatever becomes of either, nothing is left behind.

The keeper holds one end of a socket, the lifeline. When the other end is closed, or its holder is gone, it kills all
that lives below it and ends. What the agent's process leaves when it dies becomes the keeper's own child, and so is
found. It tells how the agent's process ended, in one line.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
import traceback
import warnings
from collections.abc import Callable

from pytest_agent.chaos.supervision.processes import adopt_orphans, descendants, die_with_parent, kill_all

_BROKEN = 70
_PATIENCE_S = 10.0
"""So long the keeper goes on killing what appears below it. One round is enough, unless somebody forks for ever."""


class Keeper:
    """The parent's side of one keeper and the process below it. `status` is how that ended, as `os.waitpid` has it."""

    def __init__(self, body: Callable[[], None]) -> None:
        """Fork. `body` is run in the process below the keeper, which ends when it returns."""
        self._line, theirs = socket.socketpair()
        self.status: int | None = None
        self._pid = _fork()
        if self._pid == 0:
            try:
                self._line.close()
                _keep(theirs, body)
            finally:
                os._exit(_BROKEN)
        theirs.close()

    def fileno(self) -> int:
        """Readable as soon as the process has ended."""
        return self._line.fileno()

    def has_told(self) -> bool:
        """Whether the process has ended."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return bool(poll.poll(0))

    def read(self) -> None:
        """Take note of how the process ended, once there is something to read."""
        told = self._line.recv(64)
        self.status = int(told) if told.strip() else _BROKEN << 8

    def end(self) -> None:
        """Have everything killed, and wait until it is. Idempotent."""
        if self._line.fileno() == -1:
            return
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _keep(line: socket.socket, body: Callable[[], None]) -> None:
    os.setsid()
    adopt_orphans()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    before = {number: signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)}
    outer = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _noted)
    child = _fork()
    if child == 0:
        signal.set_wakeup_fd(outer)
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        line.close()
        os.close(woken)
        os.close(wake)
        _live(body)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while line.fileno() not in select.select([line.fileno(), woken], [], [])[0]:
        os.read(woken, 4096)
        for pid, status in _reap():
            if pid == child:
                line.sendall(f"{status}\n".encode())
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up and (alive := descendants(os.getpid())):
        kill_all(alive)
        for _ in _reap():
            pass
    # Where the system tells nothing of its processes, at least the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os._exit(0)


def _live(body: Callable[[], None]) -> None:
    code = _BROKEN
    try:
        os.setsid()
        adopt_orphans()
        die_with_parent()
        body()
        code = 0
    except BaseException:  # noqa: BLE001 - there is nobody above: it is told, and the process ends
        traceback.print_exc()
    finally:
        os._exit(code)


def _reap() -> list[tuple[int, int]]:
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(one)
    return ended


def _fork() -> int:
    with warnings.catch_warnings():
        # Only this thread goes on in the child, which takes no lock that another one might hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _noted(number: int, frame: object) -> None:
    """The signal is noted by the pipe; without a handler it would not be."""
