"""Real death: kill the agent's process at each boundary in turn, start it again until it ends, and compare.

The process kills itself, so that the place is exact; the signal is SIGKILL, so that nothing in it can help. Whatever it
left is what the next process finds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.trace import Event, load_line

MOST_LIVES = 20


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended that was killed at boundary `kill_at` (None: never), and what it left.

    `died_at` names the boundary, `lives` counts processes, `ledger` holds the effects, `final` what the agent said.
    """

    kill_at: int | None
    died_at: str
    lives: int
    final: dict[str, Any]
    ledger: tuple[dict[str, Any], ...]
    events: tuple[Event, ...]

    @property
    def effects(self) -> list[tuple[str, str]]:
        """The effects without the idempotency keys: what changed in the world, sorted."""
        return sorted((entry["tool"], json.dumps(entry["arguments"], sort_keys=True)) for entry in self.ledger)


class Deaths:
    """Kills the agent of one scenario wherever it can die. A context manager: it holds a server of processes.

    The faults of `schedule`, in its text form, act on what arrives meanwhile. Raises RuntimeError where a process fails
    by itself, with what it printed, and UsageError for a schedule that cannot be armed or that acts elsewhere.
    """

    def __init__(self, scenario: Path, folder: Path, schedule: str = "") -> None:
        for armed in load_catalogue().arm(Schedule.parse(schedule)) if schedule else ():
            if armed.effect.seam != "event":
                raise UsageError(
                    f"{armed.fault}: under real death only faults at event sites act, not at {armed.effect.seam}; "
                    "remove it, or run it with --chaos-replay"
                )
        self._schedule = schedule
        self._scenario = scenario.resolve()
        self._folder = folder.resolve()
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "pytest_agent.chaos.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._folder,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.communicate()
            self._server = None

    def sweep(self) -> Iterator[Ending]:
        """The uninterrupted run first, then one for each boundary that it passes."""
        whole = self.run(None)
        yield whole
        for kill_at in range(1, whole.final["passed"] + 1):
            yield self.run(kill_at)

    def run(self, kill_at: int | None) -> Ending:
        """Live until killed, and again until the task ends."""
        folder = self._folder / ("whole" if kill_at is None else f"killed-{kill_at}")
        folder.mkdir()
        died_at = ""
        for life in range(1, MOST_LIVES + 1):
            code = self._live(folder, kill_at if life == 1 else None)
            if code == 0:
                return self._ending(folder, kill_at, died_at, life)
            if code != -9:
                raise RuntimeError(f"life {life} of the run killed at {kill_at} ended by itself with {code}")
            died_at = json.loads((folder / "world.json").read_text())["died_at"]
        raise RuntimeError(f"killed at {kill_at} the task does not end in {MOST_LIVES} processes")

    def _live(self, folder: Path, kill_at: int | None) -> int:
        server = self._server
        if server is None or server.stdin is None or server.stdout is None:
            raise RuntimeError("use this as a context manager: with Deaths(...) as deaths:")
        asked = {
            "scenario": str(self._scenario),
            "folder": str(folder),
            "kill_at": kill_at,
            "schedule": self._schedule,
        }
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server of processes ended with {server.wait()}")
        return int(json.loads(answer)["code"])

    @staticmethod
    def _ending(folder: Path, kill_at: int | None, died_at: str, lives: int) -> Ending:
        return Ending(
            kill_at=kill_at,
            died_at=died_at,
            lives=lives,
            final=json.loads((folder / "final.json").read_text()),
            ledger=tuple(json.loads(line) for line in (folder / "ledger.jsonl").read_bytes().splitlines()),
            events=tuple(load_line(line) for line in (folder / "trace.jsonl").read_bytes().splitlines()),
        )
