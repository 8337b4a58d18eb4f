"""A server in a thread of its own: what the fixture gives out."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from pytest_agent.errors import ServerFailed, UsageError
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.script import Script
from pytest_agent.llm.server.app import App
from pytest_agent.llm.server.control import Control
from pytest_agent.llm.server.engine import Engine
from pytest_agent.llm.server.journal import Entry, Journal
from pytest_agent.llm.server.limits import THREAD, Limits
from pytest_agent.llm.server.selector import SeenSelector
from pytest_agent.llm.server.world import Tools
from pytest_agent.llm.turn import Said
from pytest_agent.trace import Trace

HOST = "127.0.0.1"
_KEY = "pytest-agent"


class LlmServer:
    """The scripted model of a test behind a socket on loopback, from `start` to `stop`.

    What it says is what `llm` says: one script for both. Time on the socket is real.
    """

    def __init__(
        self,
        model: ScriptedModel,
        trace: Trace,
        *,
        limits: Limits | None = None,
        coalesce: bool = False,
        tools: Tools | None = None,
    ) -> None:
        self.journal = Journal()
        self.control = Control(self.journal, tools=tools)
        self._model = model
        self._app = App(model, trace, self.control, self.journal)
        self._limits = limits
        self._coalesce = coalesce
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """The port. Raises UsageError before `start`."""
        if not self._port:
            raise UsageError("the model server is not running; it is from start() to stop()")
        return self._port

    @property
    def openai_url(self) -> str:
        """What the `base_url` of OpenAI's clients is set to."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """What the `base_url` of Anthropic's clients is set to; they add `/v1` themselves."""
        return self.url

    @property
    def gemini_url(self) -> str:
        """What the `base_url` of Google's clients is set to; they add the version themselves."""
        return self.url

    def environment(self, conversation: str | None = None) -> dict[str, str]:
        """The variables by which the providers' SDKs find this server, for a subprocess, and `PYTEST_AGENT_URL`.

        Below that are the tools of the test: `POST $PYTEST_AGENT_URL/__/tools/<name>`, see `server/world.py`.

        With a `conversation` the process belongs to it: its name is the API key.
        """
        key = conversation or _KEY
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_KEY": key,
            "ANTHROPIC_BASE_URL": self.anthropic_url,
            "ANTHROPIC_API_KEY": key,
            "GOOGLE_GEMINI_BASE_URL": self.gemini_url,
            "GEMINI_API_KEY": key,
            "PYTEST_AGENT_URL": self.url,
        }

    def says(self, *turns: Said) -> None:
        """The same as `llm.says`."""
        self._model.says(*turns)

    def conversation(self, name: str) -> Script:
        """The same as `llm.conversation`."""
        return self._model.conversation(name)

    @property
    def requests(self) -> list[Entry]:
        """The last requests that arrived on the socket, in order; at most 2,000."""
        return list(self.journal.entries())

    def start(self) -> Self:
        """Listen on a free port. Raises UsageError where there is none."""
        begun = threading.Event()
        failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(begun, failures), name=THREAD, daemon=True)
        self._thread.start()
        begun.wait()
        if failures:
            self._thread.join()
            raise UsageError(f"the model server cannot listen on {HOST}: {failures[0]}")
        return self

    def stop(self, drain_s: float = 0.0) -> None:
        """Finish what is under way for up to `drain_s` real seconds, close the rest, end the thread. Idempotent."""
        thread, loop, engine = self._thread, self._loop, self._engine
        if thread is None or loop is None or engine is None:
            return
        self._thread = self._loop = None
        asyncio.run_coroutine_threadsafe(engine.stop(drain_s), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        self._engine = None

    def is_at_rest(self, port: int) -> bool:
        """Whether the client at this port waits for nothing. Any thread may ask; see `Clock.know_peer`."""
        engine = self._engine
        return engine is None or engine.is_at_rest(port)

    def check(self) -> None:
        """Raise ServerFailed for an error of the server itself, and where it had to end an agent that does not stop."""
        if self._app.problems:
            raise ServerFailed("the model server has failed: " + "; ".join(self._app.problems) + "; please report it")
        if self._app.aborted is not None:
            raise ServerFailed(str(self._app.aborted))

    def _run(self, begun: threading.Event, failures: list[BaseException]) -> None:
        # Not `asyncio.new_event_loop()`: inside a test that is a loop of virtual time.
        selector = SeenSelector()
        loop = asyncio.SelectorEventLoop(selector)

        async def begin() -> None:
            self._engine = Engine(self._app, limits=self._limits, coalesce=self._coalesce, selector=selector)
            self._port = await self._engine.start(HOST, 0)

        try:
            try:
                loop.run_until_complete(begin())
            except OSError as error:
                failures.append(error)
                return
            finally:
                self._loop = loop
                begun.set()
            loop.run_forever()
        finally:
            loop.close()
