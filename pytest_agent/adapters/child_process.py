"""One child process from its start to the end of its whole group, with bounded output, in real time.

Its threads wait without a limit and the caller in `Event.wait`, which the virtual clock leaves real.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

THREADS = "pytest-agent-command-*"
MOST_OUTPUT = 1_000_000
"""Bytes of stdout after which a process is ended. Of stderr as much is kept, from its end."""

_PIECE = 65_536
_PIPES_S = 2.0


class ChildProcess:
    """Starts at once, at the head of a group of its own. Raises OSError where it cannot be started."""

    def __init__(self, words: Sequence[str], *, environment: Mapping[str, str], folder: Path | None, told: str | None):
        self._process = subprocess.Popen(  # noqa: S603 - the command is the test author's own
            list(words),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL if told is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._out, self._err = bytearray(), bytearray()
        self._over = threading.Event()
        self.runaway = False
        """Whether it said more on stdout than anybody could want to know."""
        works: list[Callable[[], None]] = [self._read_out, self._read_err]
        if told is not None:
            works.append(functools.partial(self._tell, told))
        self._pipes = [_thread(work) for work in works]
        self._waiter = _thread(self._wait)

    def wait(self, limit_s: float) -> bool:
        """Until it has ended by itself, for at most so many real seconds; whether it has."""
        return self._over.wait(limit_s) and not self.runaway

    def end(self) -> int:
        """Kill what is left of its group, and wait for it. The exit code, negative for a signal. Idempotent."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._waiter.join()
        for pipe in self._pipes:
            pipe.join(_PIPES_S)  # whoever has left the group may hold them for ever
        return int(self._process.returncode)

    @property
    def stdout(self) -> str:
        """What it has said so far."""
        return self._out.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """The end of what it has said there so far."""
        return self._err.decode("utf-8", "replace")

    def _wait(self) -> None:
        self._process.wait()
        self._over.set()

    def _tell(self, text: str) -> None:
        # A process need not listen.
        with contextlib.suppress(BrokenPipeError), _open(self._process.stdin) as pipe:
            pipe.write(text.encode("utf-8", "backslashreplace"))

    def _read_out(self) -> None:
        for piece in _pieces(self._process.stdout):
            self._out += piece[: MOST_OUTPUT - len(self._out)]
            if len(self._out) >= MOST_OUTPUT:
                self.runaway = True
                self._over.set()

    def _read_err(self) -> None:
        for piece in _pieces(self._process.stderr):
            self._err += piece
            del self._err[:-MOST_OUTPUT]


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=f"{THREADS[:-1]}pipe", daemon=True)
    thread.start()
    return thread


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the process was started without this pipe")
    return pipe


def _pieces(from_: IO[bytes] | None) -> Iterator[bytes]:
    with _open(from_) as pipe:
        while piece := os.read(pipe.fileno(), _PIECE):
            yield piece
