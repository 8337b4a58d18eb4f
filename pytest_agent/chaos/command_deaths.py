"""A command line whose process dies for real, by SIGKILL, and is started again until it ends by itself.

Its model and its tools are behind the server of the test: where it is to die it waits for an answer, is killed, and
never gets it. So the place is exact, in whatever language it is written. A Python program says its commits besides.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_agent.clock import _real
from pytest_agent.errors import ProcessDied, PytestAgentError, UsageError
from pytest_agent.faults.effect import Left
from pytest_agent.faults.seams import Seams
from pytest_agent.llm.server.server import LlmServer
from pytest_agent.stores.process import Home, Process

FOLDER = "PYTEST_AGENT_FOLDER"
_PRELOAD = Path(__file__).with_name("self_kill")
_LOOK_S = 0.005


class CommandFailed(PytestAgentError):
    """The command ended by itself with another code than 0; `code` and what it wrote to its standard error."""

    def __init__(self, code: int, stderr: str) -> None:
        lines = stderr.strip().splitlines()
        super().__init__(f"the command ended with {code}: {lines[-1] if lines else 'it said nothing'}")
        self.code = code
        self.stderr = stderr

    def __reduce__(self) -> tuple[type[CommandFailed], tuple[int, str]]:
        return type(self), (self.code, self.stderr)


class _Remote(Process):
    """The process of a command, whose commits come over the socket."""

    def told(self, said: dict[str, Any]) -> dict[str, Any]:
        """One half of a commit, or what was flushed, as the program says it; what it is answered, if it lives on."""
        n, failure = 0, None
        match said["phase"]:
            case "before":
                n, failure = self.begin()
            case "after":
                n = int(said["n"])
                failure = self.finish(n, str(said["file"]), str(said["label"]), flushes=bool(said["flushes"]))
            case "flushed":
                self.disk.flushed(str(said["name"]))
            case "renamed":
                self.disk.renamed(said["name"], said["new"])
            case "removed":
                self.disk.removed(str(said["name"]))
            case other:
                raise UsageError(f"phase {other!r}: expected before, after, flushed, renamed or removed")
        fails = None if failure is None else {"reason": failure.reason, "condition": failure.condition}
        return {"n": n, "fails": fails}

    def _stand_still(self, for_s: float) -> None:
        """Not here: the socket is in real time."""


class MortalCommand:
    """A RestartableAgent: `await run_agent(MortalCommand([sys.executable, "agent.py"], llm_server, folder), "task")`.

    The arguments of the run are appended to the command. It finds the model in the variables of its SDK, the tools of
    the test at `POST $PYTEST_AGENT_URL/__/tools/<name>`, and its folder, the same for all lives, in
    `$PYTEST_AGENT_FOLDER`. What it writes to standard output is its result; another code than 0 raises CommandFailed,
    and so does one that lives longer than `limit_s` real seconds. `commits` False: only its model and tools are sites.
    """

    def __init__(
        self,
        command: Sequence[str],
        server: LlmServer,
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        commits: bool = True,
        limit_s: float = 120.0,
    ) -> None:
        self._command = list(command)
        self._server = server
        self._folder = folder
        self._env = dict(env or {})
        self._commits = commits
        self._limit_s = limit_s
        self._args: tuple[str, ...] = ()
        self._home: Home | None = None
        self._life = 0

    def describe(self) -> dict[str, Any]:
        """Nothing is known of it."""
        return {}

    async def start(self, seams: Seams, *args: Any) -> str:
        """Its first process."""
        self._args = tuple(str(arg) for arg in args)
        return await self._live(seams)

    async def resume(self, seams: Seams) -> str:
        """The process after one that has died."""
        return await self._live(seams)

    async def _live(self, seams: Seams) -> str:
        self._life += 1
        home = self._home = self._home or Home(seams, self._folder)
        home.disk.come_back()
        remote = _Remote(home, self._life)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            command = [*self._command, *self._args]
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - the author's own command; nothing else runs meanwhile
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

            dying = threading.Lock()

            def die(left: Left) -> None:
                # In the thread of the server. The next life is to begin when all of this is over.
                with dying:
                    process.kill()
                    process.wait()
                    home.disk.die(left)

            before, seams.at_death = seams.at_death, die
            self._server.control.committing = remote.told
            try:
                code = await self._wait(process)
            finally:
                self._server.control.committing = None
                seams.at_death = before
                if process.poll() is None:
                    process.kill()
                    process.wait()
                remote.end()
            with dying:
                died = seams.dead
            if died:
                raise ProcessDied(f"the process of life {self._life} was killed")
            out.seek(0)
            err.seek(0)
            if code != 0:
                raise CommandFailed(code, err.read().decode("utf-8", "replace"))
            return out.read().decode("utf-8", "replace").strip()

    async def _wait(self, process: subprocess.Popen[bytes]) -> int:
        until = _real.monotonic() + self._limit_s
        while (code := process.poll()) is None:
            if _real.monotonic() > until:
                raise CommandFailed(-9, f"it did not end in {self._limit_s:g} s")
            _real.sleep(_LOOK_S)
            await asyncio.sleep(0)
        return code

    def _environment(self) -> dict[str, str]:
        given = {**os.environ, **self._server.environment(), **self._env, FOLDER: str(self._folder)}
        if self._commits:
            given["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_PRELOAD), given.get("PYTHONPATH"))))
        return given
