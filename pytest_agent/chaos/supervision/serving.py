"""The process in which the agent runs: forked from pytest with everything collected, it serves schedule after schedule.

A line of JSON comes in, `{"schedule": text, "usual": [...]}`, without a schedule for the clean run. One goes out when
the run is over: `{"observed": ...}`, or `{"refused": text}` where the search cannot work with it, or
`{"exit": text, "code": n}` where the test ends the session. A second one says what it left: `{"threads": [...],
"processes": [...], "usual": [...], "peak": bytes, "resident": bytes}`. Nothing of the session is touched from here: its
terminal, its capture, its channels, its wider fixtures.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest
from _pytest.outcomes import Exit

from pytest_agent.chaos.subject import TestSubject
from pytest_agent.chaos.supervision.processes import peak_bytes, resident_bytes
from pytest_agent.chaos.supervision.remains import Before
from pytest_agent.errors import PytestAgentError
from pytest_agent.faults.schedule import Schedule
from pytest_agent.trace import Event, load_line

DUMP_SIGNAL: int = getattr(signal, "SIGRTMAX", signal.SIGUSR2)
"""The signal on which the process writes where all its threads are. Real-time where there is one: agents use others."""


@dataclass(frozen=True, slots=True)
class Files:
    """Open files that the process writes and its parent reads: `output` of the run, `stacks` when it hangs."""

    output: int
    stacks: int


def serve(config: pytest.Config, subject: TestSubject, trace: Path, work: socket.socket, files: Files) -> None:
    """Serve until the other end is closed. First it says its process, and what it holds in memory."""
    # What the parent left to be collected is the parent's to finalize.
    gc.freeze()
    _turn_away(config, files.output)
    faulthandler.enable(files.output)
    faulthandler.register(DUMP_SIGNAL, files.stacks, all_threads=True, chain=False)
    _send(work, {"pid": os.getpid()} | _memory())
    for line in work.makefile("rb"):
        asked = json.loads(line)
        before = Before(asked["usual"])
        _send(work, _run(subject, trace, asked["schedule"]))
        _send(work, asdict(before.remains()) | _memory())


def _run(subject: TestSubject, trace: Path, schedule: str | None) -> dict[str, Any]:
    try:
        if schedule is None:
            offset = trace.stat().st_size
            observed = subject.observe_clean()
            if observed is not None:
                # As the parent reads it, so that both judge by the same.
                subject.adopt(read_events(trace, offset))
        else:
            observed = subject.observe(Schedule.parse(schedule) if schedule else Schedule())
    except PytestAgentError as error:
        return {"refused": str(error)}
    except Exit as exit_:
        return {"exit": exit_.msg, "code": exit_.returncode}
    return {"observed": None if observed is None else observed.to_dict()}


def read_events(trace: Path, offset: int) -> Sequence[Event]:
    """The events of a trace file from here on. Half a line at its end is left out: whoever wrote it was killed."""
    with trace.open("rb") as file:
        file.seek(offset)
        lines = file.read().split(b"\n")[:-1]
    return [load_line(line) for line in lines]


def _memory() -> dict[str, int]:
    return {"resident": resident_bytes(os.getpid()) or 0, "peak": peak_bytes()}


def _send(work: socket.socket, data: dict[str, Any]) -> None:
    work.sendall(json.dumps(data, default=repr).encode() + b"\n")


def _turn_away(config: pytest.Config, output: int) -> None:
    """All that is written goes to `output`: nothing of the parent's is written to, rewound or cut from here."""
    capture = config.pluginmanager.getplugin("capturemanager")
    outer: Any = getattr(capture, "_global_capturing", None)
    streams = () if outer is None else (outer.out, outer.err)
    for stream in streams:
        # Files of pytest's own, which somebody may have kept as `sys.stderr`. One in memory has no number.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(output, stream.tmpfile.fileno())
        with contextlib.suppress(AttributeError):
            os.dup2(output, stream.targetfd_save)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    if capture is not None:
        # Kept, so that nothing of it is undone by being collected.
        vars(capture)["_of_the_parent"] = outer
        capture._global_capturing, capture._method = None, "no"
        capture.start_global_capturing()
    sys.stdout, sys.stderr = _text(1), _text(2)


def _text(number: int) -> TextIO:
    return open(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
