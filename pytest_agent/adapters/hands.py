"""What can be done to an agent while it runs: cancel its task, let a second worker at it, set the wall clock."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from pytest_agent.adapters.alive import Alive, alive
from pytest_agent.clock import Clock
from pytest_agent.faults.effect import AroundProcess, Hands
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.trace import CancelAsked

ResultT = TypeVar("ResultT")
GRACE_S = 2.0
"""Virtual seconds that a cancelled agent's tasks get to end by themselves."""
_THREADS_GRACE_S = 0.05


@runtime_checkable
class AskedToCancel(Protocol):
    """An agent that a user can ask to stop."""

    async def ask_to_cancel(self) -> bool:
        """Ask; returns whether the task was still under way."""


@runtime_checkable
class SharedTask(Protocol):
    """An agent on whose task several workers may be."""

    async def work_too(self, seams: Seams) -> None:
        """Begin with the task that is under way as a second worker, and come back when there is nothing to do."""


def powers_over(agent: object, *, is_async: bool) -> list[str]:
    """What can be done to the agent, in the words of `AgentStarted.can`."""
    return [
        *(["disconnect"] if is_async else []),
        *(["request"] if isinstance(agent, AskedToCancel) else []),
        *(["second-worker"] if isinstance(agent, SharedTask) else []),
    ]


class WallHand(Hands):
    """The one hand that is there without an agent."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def move_wall(self, by_s: float) -> bool:
        """Set the virtual wall clock."""
        self._clock.move_wall(by_s)
        return True


class _Call:
    """One call of an agent that is under way."""

    def __init__(self, agent: object) -> None:
        self.agent = agent
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Future[Any] | None = None
        self.asked: CancelAsked | None = None
        self.late: list[str] = []
        self.beside: list[asyncio.Task[Any]] = []
        self.requests: list[asyncio.Task[Any]] = []

    def begin(self, work: Callable[[], Coroutine[Any, Any, object]], *, request: bool = False) -> None:
        def started() -> None:
            task = self.loop.create_task(work())
            self.beside.append(task)
            if request:
                self.requests.append(task)

        self.on_loop(started)

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def on_loop(self, act: Callable[[], object]) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self.loop:
            act()
        else:
            self.loop.call_soon_threadsafe(act)


class AgentHands(Hands):
    """Those of the agents called through `run_agent`. A site belongs to the agent in whose context it is reached."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._outside = seams.hands
        self._mine: ContextVar[_Call | None] = ContextVar("agent's call", default=None)
        self._latest: _Call | None = None
        seams.hands = self

    def move_wall(self, by_s: float) -> bool:
        """As without an agent."""
        return self._outside.move_wall(by_s)

    async def run(self, running: Awaitable[ResultT], agent: object = None) -> ResultT:
        """Await the agent, within reach of the faults of the schedule that act around it.

        What it leaves behind is recorded where it was cancelled, and in a clean run, to be compared with.
        """
        if not any(isinstance(armed.effect, AroundProcess) for armed in self._seams.armed):
            if self._seams.armed:
                return await running
            before = alive()
            try:
                return await running
            finally:
                self._record(before)
        before = alive()
        call = self._latest = _Call(agent)
        token = self._mine.set(call)
        try:
            task = asyncio.create_task(self._within_reach(running, call))
            call.task = task
            return await task
        finally:
            self._mine.reset(token)
            self._latest = None
            await self._settle(call, before)

    def was_cancelled(self, error: BaseException) -> bool:
        """Whether it is what comes of a cancel that was asked for here."""
        return isinstance(error, asyncio.CancelledError) and any(self._seams.trace.of(CancelAsked))

    def cancel(self, by: str, site: Site, *, late: bool) -> bool:
        """Cancel the call that is under way here."""
        call = self._mine.get() or self._latest
        if call is None or (by == "request" and not isinstance(call.agent, AskedToCancel)):
            return False
        if late:
            call.late.append(by)
        elif by == "request":
            call.begin(lambda: self._request(call, site), request=True)
        else:
            call.asked = CancelAsked(site=str(site), by=by)
            call.on_loop(call.cancel)
        return True

    async def rest(self) -> None:
        """A user's request is stored, and a cancelled task gets its CancelledError here and nowhere later."""
        call = self._mine.get() or self._latest
        if call is None or asyncio.get_running_loop() is not call.loop:
            return
        if call.requests:
            await asyncio.wait(call.requests)
        await asyncio.sleep(0)

    def start_second(self) -> bool:
        """Let another worker at the task of the call that is under way here."""
        call = self._mine.get() or self._latest
        if call is None or not isinstance(call.agent, SharedTask):
            return False
        agent = call.agent
        call.begin(lambda: agent.work_too(self._seams))
        return True

    async def _within_reach(self, running: Awaitable[ResultT], call: _Call) -> ResultT:
        return await _told_of_cancels(running, lambda: self._tell(call))

    def _tell(self, call: _Call) -> None:
        if call.asked is not None and not call.asked.seq:
            self._seams.trace.append(call.asked)

    async def _request(self, call: _Call, site: Site) -> None:
        if isinstance(call.agent, AskedToCancel) and await call.agent.ask_to_cancel():
            call.asked = CancelAsked(site=str(site), by="request")
            self._tell(call)

    async def _settle(self, call: _Call, before: Alive) -> None:
        """When the call has ended: what was begun beside it ends too, and what it has left is recorded."""
        for by in call.late:
            if by == "request" and isinstance(call.agent, AskedToCancel):
                await call.agent.ask_to_cancel()
            else:
                call.cancel()
        # An error of a second worker is one of the agent.
        await asyncio.gather(*call.beside)
        if call.asked is None:
            return
        self._tell(call)
        if tasks := [task for task in alive().tasks if task not in before.tasks]:
            await asyncio.wait(tasks, timeout=GRACE_S)
        if alive().since(before).threads:
            await asyncio.sleep(_THREADS_GRACE_S)
        self._seams.trace.append(alive().since(before))

    def _record(self, before: Alive) -> None:
        left = alive(cancelled=False).since(before)
        if left.tasks or left.threads or left.children or left.sockets:
            self._seams.trace.append(left)


@types.coroutine
def _told_of_cancels(running: Awaitable[ResultT], tell: Callable[[], None]) -> Generator[Any, Any, ResultT]:
    """Await it, and tell as a CancelledError goes into it. What it does until then it does without knowing."""
    inside = running.__await__()
    value, error = None, None
    while True:
        try:
            awaited = inside.send(value) if error is None else inside.throw(error)
        except StopIteration as end:
            return cast("ResultT", end.value)
        value, error = None, None
        try:
            value = yield awaited
        except GeneratorExit:
            inside.close()
            raise
        except BaseException as thrown:  # noqa: BLE001 - it goes on to where it was to go
            error = thrown
            if isinstance(thrown, asyncio.CancelledError):
                tell()
