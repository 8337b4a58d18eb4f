"""One run of one test: the parts the fixtures give out, wired together, and what is claimed at the end."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_agent.clock import Clock, NothingToWaitFor
from pytest_agent.errors import RunAbort, UnansweredCall
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.seams import Armed, Seams
from pytest_agent.guard import NetworkGuard
from pytest_agent.llm.intercept import HttpIntercept
from pytest_agent.llm.model import ScriptedModel
from pytest_agent.outcome import failure_claim
from pytest_agent.sandbox import Sandbox
from pytest_agent.trace import (
    AssertionFailed,
    OutcomeClaimed,
    RunAborted,
    RunStarted,
    Trace,
    TraceFile,
    Unanswered,
)


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
        self.llm = ScriptedModel(self.seams)
        self.sandbox = Sandbox(self.seams, ledger, self.clock.sleep, self.llm.tool_ended)
        self._intercept = HttpIntercept(self.llm, self.trace, self.clock.sleep)
        self._guard = NetworkGuard(self.trace)
        self._random = random.getstate()
        self._depth = 0
        random.seed(f"{seed}:{test}")
        self._own_random = random.getstate()
        random.setstate(self._random)
        self.trace.append(RunStarted(test=test, schedule=str(schedule), seed=seed))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The world is in place: virtual time, scripted model, guard, seeded `random`. For one phase of the test."""
        self.clock.install()
        self._guard.install()
        self._intercept.install()
        outer = random.getstate()
        random.setstate(self._own_random)
        try:
            yield
        finally:
            self._own_random = random.getstate()
            random.setstate(outer)
            self._intercept.uninstall()
            self._guard.uninstall()
            self.clock.uninstall()

    def body_ended(self, error: BaseException | None) -> None:
        """Record how the test's own function ended, and what that claims where the agent claimed nothing itself."""
        self.llm.finish()
        claimed = any(isinstance(event, OutcomeClaimed) for event in self.trace.events)
        if isinstance(error, RunAbort):
            self.trace.append(RunAborted(reason=error.reason, detail=error.detail))
        elif isinstance(error, NothingToWaitFor):
            self.trace.append(RunAborted(reason="hung", detail=str(error)))
        elif isinstance(error, AssertionError) and not isinstance(error, UnansweredCall):
            self.trace.append(AssertionFailed(detail=str(error) or type(error).__name__))
        elif isinstance(error, Exception) and not claimed:
            self.trace.append(failure_claim(error))
        elif error is None and not claimed:
            claim = OutcomeClaimed(outcome="success", cause=None, detail="returned", errors=[], crash=False)
            self.trace.append(claim)
        self.sandbox.finish()

    def check(self, error: BaseException | None) -> None:
        """Raise what must fail the test however much the agent swallowed: unanswered requests, leftover turns."""
        unanswered = list(dict.fromkeys(event.detail for event in self.trace.of(Unanswered)))
        if unanswered:
            raise UnansweredCall("\n".join(unanswered)) from error
        if error is None and not self.seams.faulted:
            self.llm.check_leftover()

    def describe(self) -> str:
        """The events as JSON lines, for a person who debugs."""
        return "\n".join(json.dumps(event.to_dict(), default=repr) for event in self.trace.events)
