"""Real death: kill the agent's process at each boundary in turn, start it again until it ends, and compare.

The process kills itself, so that the place is exact; the signal is SIGKILL, so that nothing in it can help. Whatever it
left is what the next process finds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.scenarios.check import read_scenario
from pytest_agent.trace import Event, load_line

MOST_LIVES = 20


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended whose lives were ended at the boundaries `kills`, one a life, and what it left.

    `died_at` names the boundaries at which it died: fewer where a life ended before it came to its own. `lives` counts
    processes, `ledger` holds the effects. `final` is what the agent said, how many boundaries its last life `passed`,
    and what is `stored` of the task, without what a death may change (times, leases, attempts).
    """

    kills: tuple[int, ...]
    died_at: tuple[str, ...]
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

    The faults of `schedule`, in its text form, act on what arrives meanwhile. The agent keeps its task in a file of
    SQLite; with `database` in a PostgreSQL one, whose URL that gives: fresh and ready each time it is called.
    Raises RuntimeError where a process fails by itself, with what it printed, and UsageError for a schedule that cannot
    be armed or that acts elsewhere, and for a scenario that cannot be read or has more than one task.
    """

    def __init__(
        self, scenario: Path, folder: Path, schedule: str = "", *, database: Callable[[], str] | None = None
    ) -> None:
        file, read = read_scenario(scenario, scenario.name)
        if read.then:
            raise file.error(("then",), "real death is for one task; give it a scenario of its own")
        for armed in load_catalogue().arm(Schedule.parse(schedule)) if schedule else ():
            if armed.effect.seam != "event":
                raise UsageError(
                    f"{armed.fault}: under real death only faults at event sites act, not at {armed.effect.seam}; "
                    "remove it, or run it with --chaos-replay"
                )
        self._schedule = schedule
        self._scenario = scenario.resolve()
        self._folder = folder.resolve()
        self._database = database
        self._server: subprocess.Popen[str] | None = None
        self._session = 0

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "pytest_agent.chaos.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            start_new_session=True,
        )
        self._session = self._server.pid
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.communicate()
            self._server = None

    def sweep(self) -> Iterator[Ending]:
        """The uninterrupted run first, then one for each boundary that it passes."""
        whole = self.run()
        yield whole
        for kill_at in range(1, whole.final["passed"] + 1):
            yield self.run(kill_at)

    def run(self, *kills: int) -> Ending:
        """Live until the task ends; the first life dies at the boundary `kills[0]` of its own, and so on."""
        folder = self._folder / ("-".join(["killed", *map(str, kills)]) if kills else "whole")
        folder.mkdir()
        database = self._database() if self._database else ""
        died_at: list[str] = []
        for life in range(1, MOST_LIVES + 1):
            code = self._live(folder, kills[life - 1] if life <= len(kills) else None, database)
            if code == 0:
                return self._ending(folder, kills, tuple(died_at), life)
            if code != -9:
                raise RuntimeError(f"life {life} of the run killed at {list(kills)} ended by itself with {code}")
            died_at.append(json.loads((folder / "world.json").read_text())["died_at"])
        raise RuntimeError(f"killed at {list(kills)} the task does not end in {MOST_LIVES} processes")

    def left(self) -> list[str]:
        """What the lives have left: every process, by its command, that they began and that has not ended.

        Also where its parent is dead. Reads `/proc`, which there is on Linux only.
        """
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                # After the command, which may hold anything: state, parent, group, session.
                command, _, rest = (entry / "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
            if int(rest.split()[3]) == self._session and (self._server is None or int(entry.name) != self._server.pid):
                found.append(f"{command})")
        return found

    def _live(self, folder: Path, kill_at: int | None, database: str) -> int:
        server = self._server
        if server is None or server.stdin is None or server.stdout is None:
            raise RuntimeError("use this as a context manager: with Deaths(...) as deaths:")
        asked = {
            "scenario": str(self._scenario),
            "folder": str(folder),
            "kill_at": kill_at,
            "schedule": self._schedule,
            "database": database,
        }
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server of processes ended with {server.wait()}")
        return int(json.loads(answer)["code"])

    @staticmethod
    def _ending(folder: Path, kills: tuple[int, ...], died_at: tuple[str, ...], lives: int) -> Ending:
        return Ending(
            kills=kills,
            died_at=died_at,
            lives=lives,
            final=json.loads((folder / "final.json").read_text()),
            ledger=tuple(json.loads(line) for line in (folder / "ledger.jsonl").read_bytes().splitlines()),
            events=tuple(load_line(line) for line in (folder / "trace.jsonl").read_bytes().splitlines()),
        )
