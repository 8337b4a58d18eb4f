"""The `run_agent` fixture: call an agent, record what it claims, and start it again when its process dies."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar, runtime_checkable

from pytest_agent.adapters.arrivals import Arrival, Mailbox
from pytest_agent.adapters.groups import heart
from pytest_agent.adapters.hands import AgentHands, powers_over
from pytest_agent.adapters.outside import NeedsRun
from pytest_agent.adapters.restartable import Restartable
from pytest_agent.errors import RunAbort, UsageError
from pytest_agent.faults.effect import Delivered
from pytest_agent.faults.seams import Seams
from pytest_agent.outcome import Outcome, failure_claim, result_claim
from pytest_agent.run import Run
from pytest_agent.stores.process import Home
from pytest_agent.trace import AgentStarted, Trace

ResultT = TypeVar("ResultT")
MAX_LIVES = 20


@runtime_checkable
class RestartableAgent(Protocol):
    """An agent with a store of its own, that can be started again after its process died."""

    def describe(self) -> dict[str, Any]:
        """Limits, transitions and contracts as plain data, for the trace."""

    async def start(self, seams: Seams, *args: Any) -> Any:
        """A new process: open the store, run the task, return its result."""

    async def resume(self, seams: Seams) -> Any:
        """A new process after the last one died or ended: open the store and go on with the task."""


class AgentRunner:
    """Calls agents, sync or async, and records their claims in the trace. Agents outside of the process need `run`."""

    def __init__(self, seams: Seams, run: Run | None = None) -> None:
        self._seams = seams
        self._run = run
        self._home: Home | None = None
        self._hands = AgentHands(seams)
        self._arrived: Counter[str] = Counter()

    @property
    def trace(self) -> Trace:
        """The events of this run so far."""
        return self._seams.trace

    @property
    def faulted(self) -> bool:
        """Whether a fault has struck in this run."""
        return self._seams.faulted

    def __call__(self, agent: Any, /, *args: Any, claims: Outcome | None = None, **kwargs: Any) -> Any:
        """Run the agent: await the result where the agent is async.

        What it returns claims `success`, unless that has an `outcome`; what it raises claims `failed`. `claims` says
        otherwise for an agent that returns. The result is returned and the exception raised again.
        """
        if claims is not None:
            result_claim(None, claims)  # a word that is none is refused before the agent runs
        if isinstance(agent, Restartable):
            if self._home is None:
                if self._run is None:
                    raise UsageError("a @restartable agent needs a folder; call it through the fixture run_agent")
                self._home = Home(self._seams, self._run.sandbox.folder / "agent")
            lives = self._lives(agent.living_in(self._home, args, kwargs), (), claims)
            return lives if agent.is_async else _to_its_end(lives)
        if isinstance(agent, RestartableAgent):
            if kwargs:
                raise TypeError(f"a RestartableAgent is started with positional arguments, found {', '.join(kwargs)}=")
            return self._lives(agent, args, claims)
        if isinstance(agent, NeedsRun) and self._run is not None:
            agent = agent.of_run(self._run)
        if not callable(agent):
            raise TypeError(
                f"{agent!r} is not an agent: expected a callable, such as `run_agent(my_agent, 'the task')`, "
                "a function that is @restartable, command([...]), agent_at(url), or a RestartableAgent"
            )
        self._started(1, {}, powers_over(agent, is_async=_is_async(agent)))
        try:
            result = agent(*args, **kwargs)
        except Exception as error:
            self._failed(error)
            raise
        if inspect.isawaitable(result):
            return self._recorded(result, claims)
        if inspect.isasyncgen(result) or inspect.isgenerator(result):
            raise TypeError(
                f"{agent!r} returned {type(result).__name__}, and has not run yet; "
                "wrap it in a function that reads it to its end and returns what it said"
            )
        self._seams.trace.append(result_claim(result, claims))
        return result

    async def deliver(
        self, handler: Callable[[Delivered], Any], /, *arrivals: Arrival, claims: Outcome | None = None
    ) -> Any:
        """Hand events from outside to a function of the agent, sync or async, each when the one before is done.

        It gets each as a `Delivered`: `source`, `event_id`, `kind`, `payload`. What it returns last is returned; that
        and what it raises claim the same as those of a call. The faults of the seam `event` act on the arrivals.
        """
        if claims is not None:
            result_claim(None, claims)
        mailbox = Mailbox(arrivals, self._arrived)
        return await self._recorded(mailbox.deliver(self._seams, functools.partial(_handle, handler)), claims)

    async def _recorded(self, running: Awaitable[ResultT], claims: Outcome | None) -> ResultT:
        try:
            result = await self._hands.run(running)
        except BaseException as error:
            if isinstance(error, Exception) or self._hands.was_cancelled(error):
                self._failed(error)
            raise
        self._seams.trace.append(result_claim(result, claims))
        return result

    def _failed(self, error: BaseException) -> None:
        cause = heart(error)
        if isinstance(cause, (Exception, asyncio.CancelledError)):
            self._seams.trace.append(failure_claim(cause))

    async def _lives(self, agent: RestartableAgent, args: tuple[Any, ...], claims: Outcome | None) -> Any:
        enter: Callable[[], Awaitable[Any]] = lambda: agent.start(self._seams, *args)  # noqa: E731 - rebound below
        for life in range(1, MAX_LIVES + 1):
            self._started(life, agent.describe(), powers_over(agent, is_async=_in_a_loop()), restartable=True)
            with self._seams.life():
                result = await self._one_life(agent, enter)
            if result is not _DIED:
                self._seams.trace.append(result_claim(result, claims))
                if not self._seams.start_again:
                    return result
            self._seams.dead = self._seams.start_again = False
            self._seams.restarts += 1
            enter = lambda: agent.resume(self._seams)  # noqa: E731 - as above
        raise RunAbort("runaway", f"the agent was started {MAX_LIVES} times and its task does not end")

    async def _one_life(self, agent: RestartableAgent, enter: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await (self._hands.run(enter(), agent) if _in_a_loop() else enter())
        except BaseException as error:
            # Death may surface in a group, or as what the agent made of it on its way out.
            if self._seams.dead:
                return _DIED
            if isinstance(error, Exception) or self._hands.was_cancelled(error):
                self._failed(error)
            raise

    def _started(self, life: int, description: dict[str, Any], can: list[str], *, restartable: bool = False) -> None:
        started = AgentStarted(life=life, description=description, restartable=restartable, can=can)
        self._seams.trace.append(started)


def _is_async(agent: object) -> bool:
    return inspect.iscoroutinefunction(agent) or inspect.iscoroutinefunction(type(agent).__call__)


def _in_a_loop() -> bool:
    return asyncio._get_running_loop() is not None


def _to_its_end(running: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run the lives of an agent that is not async: there is nothing in them to wait for."""
    try:
        running.send(None)
    except StopIteration as ended:
        result: ResultT = ended.value
        return result
    finally:
        running.close()
    raise RuntimeError("an agent that is not async has waited for something")


async def _handle(handler: Callable[[Delivered], Any], event: Delivered) -> Any:
    result = handler(event)
    return await result if inspect.isawaitable(result) else result


_DIED = object()
