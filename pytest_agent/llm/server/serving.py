"""A server of its own, outside any test: its script may be exchanged while it runs, and nothing in it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from pytest_agent.errors import UsageError
from pytest_agent.faults.seams import Seams
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.server.app import App
from pytest_agent.llm.server.control import Control
from pytest_agent.llm.server.engine import Engine
from pytest_agent.llm.server.journal import Journal
from pytest_agent.llm.server.limits import Limits
from pytest_agent.llm.server.script_file import ScriptFile, parse_script, read_script
from pytest_agent.llm.turn import Turn
from pytest_agent.trace import Trace

KEPT_EVENTS = 200
LOOK_S = 0.25
"""How often the file of the script is looked at for changes."""


class _SinceStart:
    """Real seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began


def echo(request: ModelRequest) -> Turn:
    """What is said without a script: the text of the last message, the same each time."""
    return Turn(text=request.history[-1].text or "(no text)" if request.history else "(no messages)")


class Serving:
    """Says what a script says; without one it echoes. `script` is a file that may change, or the text of one."""

    def __init__(self, script: Path | None = None, *, token: str = "", tell: Callable[[str], None] = print) -> None:
        self._path = script
        self._tell = tell
        self._seen = _state(script)
        self._script = ScriptFile() if script is None else read_script(script)
        self._trace = Trace(_SinceStart(), keep=KEPT_EVENTS)
        self.journal = Journal()
        self.app = App(
            self._model(), self._trace, Control(self.journal, self), self.journal, token=token, remembers=True
        )

    def replace_script(self, text: str) -> None:
        """Say this from now on. Raises UsageError for what is no script, and then changes nothing."""
        self._use(parse_script(text, "(request)"))

    def begin_again(self) -> None:
        """The same script from its beginning."""
        self._use(self._script)

    def look(self) -> None:
        """Read the file again where it has changed; one that cannot be read leaves the script as it is, and is told."""
        state = _state(self._path)
        if self._path is None or state == self._seen:
            return
        self._seen = state
        try:
            self._use(read_script(self._path))
        except UsageError as error:
            self._tell(f"the script is as before: {error}")
        else:
            self._tell(f"the script {self._path} is loaded anew")

    async def run(
        self,
        host: str,
        port: int,
        ready: Callable[[int], None],
        stop: asyncio.Event,
        *,
        limits: Limits | None = None,
        coalesce: bool = False,
        drain_s: float = 10.0,
        look_s: float = LOOK_S,
    ) -> int:
        """Serve until `stop`, then finish what is under way for up to `drain_s`; how many replies were cut off.

        `ready` gets the port. Raises OSError where it cannot be had.
        """
        engine = Engine(self.app, limits=limits, coalesce=coalesce)
        ready(await engine.start(host, port))
        while not stop.is_set():
            self.look()
            try:
                await asyncio.wait_for(stop.wait(), look_s)
            except TimeoutError:
                continue
        return await engine.stop(drain_s)

    def _use(self, script: ScriptFile) -> None:
        self._script = script
        self.app.model = self._model()

    def _model(self) -> ScriptedModel:
        model = ScriptedModel(Seams(self._trace), judged=False)
        self._script.apply(model)
        if not model.has_script:
            model.answers_with(echo)
        return model


def _state(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None  # as an editor leaves it for a moment: it is read when it is back
    return found.st_mtime_ns, found.st_size, found.st_ino
