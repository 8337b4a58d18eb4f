"""A process in which an agent lives until it kills itself: `python -m pytest_agent.chaos.child`.

It imports everything once and then forks one real process for each life it is asked for, as a JSON line on standard
input: `{"scenario": path, "folder": path, "kill_at": 7, "schedule": "", "database": ""}`. The life counts the
boundaries it passes: before and after each commit, model call and tool call. At the one it is to die at it kills itself
with SIGKILL, which nothing in it can catch. What is outside the agent (the model's memory, the tools' world, the mail)
lives on in `folder/world.json`; what it keeps itself, in the database that is named or in a file of the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from pytest_agent.adapters.agentfsm import AgentFsm, shared_http
from pytest_agent.clock import VirtualEventLoop
from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.llm.prices import shipped
from pytest_agent.run import Run
from pytest_agent.scenarios.check import find_build, read_scenario
from pytest_agent.scenarios.model import Scenario
from pytest_agent.scenarios.runner import prepare
from pytest_agent.trace import AgentStarted, Died, TraceFile, load_line
from pytest_agent.yaml_file import YamlFile


class Life:
    """One process of the agent, in the world that the ones before it left."""

    def __init__(
        self, scenario: Path, folder: Path, kill_at: int | None, schedule: Schedule, database: str = ""
    ) -> None:
        self._folder = folder
        self._kill_at = kill_at
        self._passed = 0
        self._world = folder / "world.json"
        file, self._scenario = _read(scenario)
        trace = folder / "trace.jsonl"
        later = self._world.exists()
        self._run = Run(
            scenario.stem,
            schedule=schedule,
            armed=load_catalogue().arm(schedule),
            seed=0,
            trace_file=None if later else TraceFile(trace),
            ledger=folder / "ledger.jsonl",
        )
        self._run.sandbox.keep_in(folder / "agent")
        build = find_build(file, self._scenario)
        self._agent = prepare(self._scenario, build, self._run.llm, self._run.sandbox, database)
        if later:
            self._restore(self._agent, trace)
        self._run.seams.at_boundary = self._boundary

    def run(self) -> None:
        """To the end of the task, or of the process. `folder/final.json` has the result and the boundaries passed."""
        lives = sum(1 for _ in self._run.trace.of(AgentStarted))
        with self._run.inside(), asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
            self._run.trace.append(AgentStarted(life=lives + 1, description=self._agent.describe()))
            result = runner.run(
                self._agent.resume(self._run.seams)
                if lives
                else self._agent.start(self._run.seams, self._scenario.task)
            )
            stored = runner.run(self._agent.stored())
        final = {"outcome": result.outcome, "cause": result.cause, "answer": result.answer, "passed": self._passed}
        (self._folder / "final.json").write_text(json.dumps({**final, "stored": stored}))

    def _boundary(self, name: str) -> None:
        self._passed += 1
        if self._passed == self._kill_at:
            self._save(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def _save(self, died_at: str) -> None:
        data = {
            "died_at": died_at,
            "elapsed_s": self._run.clock.elapsed_s,
            "model": self._run.llm.snapshot(),
            "sandbox": self._run.sandbox.snapshot(),
            "agent": self._agent.snapshot(),
        }
        self._world.write_text(json.dumps(data))

    def _restore(self, agent: AgentFsm, trace: Path) -> None:
        data: dict[str, Any] = json.loads(self._world.read_text())
        events = [load_line(line) for line in trace.read_bytes().splitlines()]
        self._run.trace.go_on(events, TraceFile(trace, go_on=True))
        self._run.trace.append(Died(site=data["died_at"]))
        self._run.clock.advance(data["elapsed_s"])
        self._run.llm.restore(data["model"])
        self._run.sandbox.restore(data["sandbox"])
        agent.restore(data["agent"])


@functools.cache
def _read(scenario: Path) -> tuple[YamlFile, Scenario]:
    return read_scenario(scenario, scenario.name)


def main() -> int:
    """Serve lives until standard input ends. Answers each with a JSON line: the exit code, or minus the signal."""
    for line in sys.stdin:
        asked = json.loads(line)
        # What every life needs is made before the fork, once. A file that cannot be read is told by the life itself.
        with contextlib.suppress(UsageError):
            _read(Path(asked["scenario"]))
        shared_http()
        shipped()
        pid = os.fork()
        if pid == 0:
            os._exit(_live(asked))
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)
    return 0


def _live(asked: dict[str, Any]) -> int:
    try:
        schedule = Schedule.parse(asked["schedule"]) if asked["schedule"] else Schedule()
        Life(Path(asked["scenario"]), Path(asked["folder"]), asked["kill_at"], schedule, asked["database"]).run()
    except BaseException:  # noqa: BLE001 - the process ends here in any case; its parent is told why
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
