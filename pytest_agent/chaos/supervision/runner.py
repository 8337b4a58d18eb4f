"""The parent's side of one process in which the agent runs: ask it, watch it in real time, and say how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pytest_agent.chaos.supervision.keeper import Keeper
from pytest_agent.chaos.supervision.processes import resident_bytes
from pytest_agent.chaos.supervision.remains import GRACE_S
from pytest_agent.chaos.supervision.serving import DUMP_SIGNAL, Files
from pytest_agent.chaos.supervision.stacks import read_dumps, steady_places, without_dumps

_LOOK_MS = 20
"""So often the memory of a run is looked at. Pages are filled at some GB a second: that is tens of MB in between."""
_DUMP_S = 1.0
_FEW = 2
_LINES = 5
_TAIL = 1 << 14
_PIECE = 1 << 20
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory_mb`: what the process may add to what it held when it was forked. `hang_s`: real seconds of one run."""

    memory_mb: int
    hang_s: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that came to no answer: `process` ended by itself, `memory` or `hang`. `evidence` line by line."""

    kind: str
    headline: str
    evidence: tuple[str, ...] = ()


class Runner:
    """One process, from fork to end. `serve` is run in it, with its socket and files."""

    def __init__(self, serve: Callable[[socket.socket, Files], None], limits: Limits) -> None:
        self._limits = limits
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as the process
        self._stacks = tempfile.TemporaryFile()  # noqa: SIM115 - as above
        self._work, theirs = socket.socketpair()
        self._buffer = b""
        self._pid, self._base = 0, 0
        files = Files(self._output.fileno(), self._stacks.fileno())
        work = self._work

        def body() -> None:
            work.close()
            serve(theirs, files)

        self._keeper = Keeper(body)
        theirs.close()
        hello = self._wait()
        if not isinstance(hello, dict):
            said = self._printed(0)
            self.end()
            raise RuntimeError(f"the process for supervised runs did not come up: {hello.headline}\n{said}")  # noqa: TRY004 - its type says how it ended
        self._pid, self._base = hello["pid"], max(hello["resident"], hello["peak"])

    def ask(self, asked: dict[str, Any]) -> dict[str, Any] | Stopped:
        """One run: what the process answers, or why there is no answer. After that it is of no further use."""
        before = os.fstat(self._output.fileno()).st_size
        with suppress(BrokenPipeError, ConnectionResetError):
            self._work.sendall(json.dumps(asked).encode() + b"\n")
        answer = self._wait()
        # What is about to end is waited for, which is not of the run's own time.
        left = self._wait(2 * GRACE_S) if isinstance(answer, dict) else answer
        if isinstance(left, Stopped):
            return self._with_what_it_said(left, before)
        answer = {**answer, **left} if isinstance(answer, dict) else left
        if answer.get("peak", 0) - self._base > self._limits.memory_mb * _MB:
            return self._too_much()
        return answer

    def is_spent(self, answer: dict[str, Any]) -> bool:
        """Whether runs have left so much in its memory that the next one should not be charged with it."""
        return bool(answer.get("resident", 0) - self._base > self._limits.memory_mb * _MB // 4)

    def is_gone(self) -> bool:
        """Whether the process has ended since its last answer."""
        return self._keeper.has_told()

    def end(self) -> None:
        """Kill it and all that it has started. Idempotent."""
        self._keeper.end()
        self._work.close()
        self._output.close()
        self._stacks.close()

    def _wait(self, more_s: float = 0.0) -> dict[str, Any] | Stopped:
        deadline = time.monotonic() + self._limits.hang_s + more_s
        poll = select.poll()
        poll.register(self._work, select.POLLIN)
        poll.register(self._keeper, select.POLLIN)
        while True:
            line, end, rest = self._buffer.partition(b"\n")
            if end:
                self._buffer = rest
                return dict(json.loads(line))
            ready = {number for number, _ in poll.poll(_LOOK_MS)}
            if self._work.fileno() in ready:
                received = self._received()
                self._buffer += received
                if received:
                    continue
                # Closed, which is what its end looks like from here; the keeper says more.
                poll.unregister(self._work)
            if self._keeper.fileno() in ready:
                self._keeper.read()
                return Stopped("process", _ended(self._keeper.status or 0))
            if self._holds_too_much():
                return self._too_much()
            if time.monotonic() > deadline:
                return self._hung()

    def _received(self) -> bytes:
        try:
            return self._work.recv(_PIECE)
        except ConnectionResetError:
            return b""

    def _holds_too_much(self) -> bool:
        held = resident_bytes(self._pid) if self._pid else None
        return held is not None and held - self._base > self._limits.memory_mb * _MB

    def _too_much(self) -> Stopped:
        # Without the figure: how far it came before it was seen differs from run to run.
        return Stopped("memory", f"the process grew by more than {self._limits.memory_mb} MB")

    def _hung(self) -> Stopped:
        places = steady_places(self._dump(), self._dump())
        shown = f", at {' and at '.join(places[:_FEW])}" if places else ""
        more = tuple(f"and at {place}" for place in places[_FEW:])
        return Stopped("hang", f"no end within {self._limits.hang_s:g} s of real time{shown}", more)

    def _dump(self) -> str:
        """Where its threads are. The process writes it in a handler of signals, whatever else it is doing."""
        number = self._stacks.fileno()
        os.ftruncate(number, 0)
        os.lseek(number, 0, os.SEEK_SET)
        with suppress(ProcessLookupError):
            os.kill(self._pid, DUMP_SIGNAL)
        give_up = time.monotonic() + _DUMP_S
        size, last = 0, -1
        while time.monotonic() < give_up and (not size or size != last):
            time.sleep(0.05)
            size, last = os.fstat(number).st_size, size
        return os.pread(number, size, 0).decode(errors="replace")

    def _with_what_it_said(self, stopped: Stopped, since: int) -> Stopped:
        printed = self._printed(since)
        at = [stack.where for stack in read_dumps(printed, "Current thread")]
        headline = f"{stopped.headline}, at {at[-1]}" if at else stopped.headline
        lines = [f"printed: {line.rstrip()}" for line in without_dumps(printed).splitlines() if line.strip()]
        return replace(stopped, headline=headline, evidence=(*stopped.evidence, *lines[-_LINES:]))

    def _printed(self, since: int) -> str:
        """The end of what has been printed since then."""
        number = self._output.fileno()
        size = os.fstat(number).st_size
        return os.pread(number, _TAIL, max(since, size - _TAIL)).decode(errors="replace")


def _ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"the process ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the process ended by {name}"
