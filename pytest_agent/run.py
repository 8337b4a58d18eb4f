"""One run of one test: the parts the fixtures give out, wired together, and what is claimed at the end."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_agent.adapters.hands import WallHand
from pytest_agent.clock import Clock, NothingToWaitFor
from pytest_agent.errors import RunAbort, UnansweredCall, WorldDiffers
from pytest_agent.faults.ready import ReadyTasks
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.seams import Armed, Seams
from pytest_agent.guard import NetworkGuard
from pytest_agent.llm.intercept import HttpIntercept
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.llm.server.limits import THREAD
from pytest_agent.outcome import failure_claim, say_error
from pytest_agent.sandbox import Sandbox
from pytest_agent.trace import (
    AssertionFailed,
    OutcomeClaimed,
    RunAborted,
    RunStarted,
    Trace,
    TraceFile,
    Unanswered,
    WorldChecked,
)

if TYPE_CHECKING:
    from pytest_agent.llm.server.server import LlmServer


class _SeededOs:
    """The `os` module, with `urandom` out of a seed: two runs of one seed draw the same identifiers."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - that it can be foretold is the point

    def urandom(self, size: int, /) -> bytes:
        """Bytes that the seed decides."""
        return self._random.randbytes(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@functools.lru_cache(maxsize=8)
def _seeded(seed: str) -> tuple[Any, ...]:
    """The state of `random` out of a seed; it is the same for all runs of a test."""
    return random.Random(seed).getstate()  # noqa: S311 - as above


class Run:
    """What one execution of a test stands in. Made before its fixtures, closed after them."""

    def __init__(
        self,
        test: str,
        *,
        schedule: Schedule,
        armed: tuple[Armed, ...],
        seed: int,
        trace_file: TraceFile | None,
        ledger: Path,
    ) -> None:
        self.schedule = schedule
        self.seed = seed
        self.clock = Clock()
        self.trace = Trace(self.clock, trace_file)
        self.seams = Seams(self.trace, armed)
        self.seams.hands = WallHand(self.clock)
        self.clock.order_tasks(ReadyTasks(self.seams).choose)
        self.llm = ScriptedModel(self.seams, seed=seed)
        self.sandbox = Sandbox(self.seams, ledger, self._sleep, self.llm.tool_ended)
        self._intercept = HttpIntercept(self.llm, self.trace, self.clock.sleep)
        self._guard = NetworkGuard(self.trace)
        self._servers: list[LlmServer] = []
        self._served = 0
        self._serving = threading.Lock()
        self.random_state = _seeded(f"{seed}:{test}")
        """What `random` begins the next phase with."""
        self._seeded_os = _SeededOs(f"{seed}:{test}:uuid")
        self.trace.append(RunStarted(test=test, schedule=str(schedule), seed=seed))

    def inside(self) -> ExitStack:
        """Put the world in place: virtual time, scripted model, guard, seeded randomness. For one phase of the test.

        What it gives takes the world down again: at the end of a `with` block, or by `close`.
        """
        with ExitStack() as undo:
            for part in (self.clock, self._guard, self._intercept):
                part.install()
                undo.callback(part.uninstall)
            undo.callback(self._give_back, random.getstate(), uuid.os)  # type: ignore[attr-defined]
            random.setstate(self.random_state)
            # `uuid4` takes its bytes from there, also where it was imported by name.
            uuid.os = self._seeded_os  # type: ignore[attr-defined]
            return undo.pop_all()

    @contextmanager
    def llm_server(self) -> Iterator[LlmServer]:
        """The model behind a socket too, for the duration of the block. Its thread lives in real time.

        Blocks that are open at the same time share one server.
        """
        with self._serving:
            if not self._served:
                self._servers.append(self._start_server())
            self._served += 1
            server = self._servers[-1]
        try:
            yield server
        finally:
            with self._serving:
                self._served -= 1
                if not self._served:
                    server.stop()

    def _start_server(self) -> LlmServer:
        from pytest_agent.llm.server.server import LlmServer

        self.clock.ignore_thread(THREAD)
        server = LlmServer(self.llm, self.trace, tools=self.sandbox.tools).start()
        self.clock.know_peer(f"127.0.0.1:{server.port}", server.is_at_rest)
        self._intercept.let_through(server.port)
        return server

    def _sleep(self, seconds: float) -> None:
        """Let a tool take its time, but not in the thread of the server: there time is real, and all would wait."""
        if threading.current_thread().name != THREAD:
            self.clock.sleep(seconds)

    def _give_back(self, outer_random: tuple[Any, ...], outer_os: object) -> None:
        self.random_state = random.getstate()
        random.setstate(outer_random)
        uuid.os = outer_os  # type: ignore[attr-defined]

    def body_ended(self, error: BaseException | None) -> None:
        """Record how the test's own function ended, and what that claims where the agent claimed nothing itself."""
        self.llm.finish()
        claims = list(self.trace.of(OutcomeClaimed))
        if isinstance(error, RunAbort):
            self.trace.append(RunAborted(reason=error.reason, detail=error.detail))
        elif isinstance(error, NothingToWaitFor):
            self.trace.append(RunAborted(reason="hung", detail=str(error)))
        elif isinstance(error, AssertionError) and not isinstance(error, UnansweredCall):
            self.trace.append(AssertionFailed(detail=str(error) or type(error).__name__))
        elif isinstance(error, (Exception, asyncio.CancelledError)):
            # What the agent raised is on record already; anything else leaves the test in its own name.
            if not claims or say_error(error) not in claims[-1].errors:
                self.trace.append(failure_claim(error))
        elif error is None and not claims:
            claim = OutcomeClaimed(outcome="success", cause=None, detail="returned", errors=[], crash=False)
            self.trace.append(claim)
        self.sandbox.finish()

    def check(self, error: BaseException | None) -> None:
        """Raise what must fail the test however much the agent swallowed.

        That is, in a run without faults: unanswered requests, a server that failed, leftover turns, and a success that
        is none.
        """
        unanswered = list(dict.fromkeys(event.detail for event in self.trace.of(Unanswered)))
        if unanswered:
            raise UnansweredCall("\n".join(unanswered)) from error
        for server in self._servers:
            server.check()
        if error is None and not self.seams.faulted:
            self.llm.check_leftover()
            self._check_world()

    def _check_world(self) -> None:
        claim = next((event for event in reversed(self.trace.events) if isinstance(event, OutcomeClaimed)), None)
        if claim is None or claim.outcome != "success":
            return
        for world in self.trace.of(WorldChecked):
            if not world.holds:
                raise WorldDiffers(f"the agent claims success and {world.name!r} does not hold: {world.detail}")

    def describe(self) -> str:
        """The events as JSON lines, for a person who debugs."""
        return "\n".join(json.dumps(event.to_dict(), default=repr) for event in self.trace.events)
