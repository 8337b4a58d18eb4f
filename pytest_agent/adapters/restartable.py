"""`@restartable`: any agent with a store of its own, built anew for each of its lives.

    @restartable
    def agent(folder: Path, task: str) -> str: ...

Each call is a new process: it builds everything it needs, keeps in `folder` what must outlive it, and is called again
with the same arguments when it has died.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from pytest_agent.faults.seams import Seams
from pytest_agent.stores.process import Home, Process
from pytest_agent.stores.standing import observed

Function = Callable[..., Any]


class Restartable:
    """An agent that `run_agent` starts again after its death. Called directly, it is the function that it was."""

    def __init__(self, function: Function, resume: Function) -> None:
        self._function = function
        self._resume = resume
        self.is_async = inspect.iscoroutinefunction(function)
        if inspect.iscoroutinefunction(resume) != self.is_async:
            raise TypeError(f"{_name(function)} and {_name(resume)} must both be async, or neither of them")
        self.__doc__ = function.__doc__
        self.__name__ = _name(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as it is."""
        return self._function(*args, **kwargs)

    def living_in(self, home: Home, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Lives:
        """The lives of one task there."""
        return Lives(self._function, self._resume, home, args, kwargs)


class Lives:
    """One task of a restartable agent: a RestartableAgent over one folder."""

    def __init__(
        self, function: Function, resume: Function, home: Home, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self._function = function
        self._resume = resume
        self._home = home
        self._args = args
        self._kwargs = kwargs
        self._life = 0

    def describe(self) -> dict[str, Any]:
        """Nothing is known of it."""
        return {}

    async def start(self, seams: Seams) -> Any:
        """Its first process."""
        return await self._live(seams, self._function)

    async def resume(self, seams: Seams) -> Any:
        """The process after one that has died or ended."""
        return await self._live(seams, self._resume)

    async def _live(self, seams: Seams, function: Function) -> Any:
        self._life += 1
        self._home.disk.come_back()
        before, seams.at_death = seams.at_death, self._home.disk.die
        try:
            with observed(Process(self._home, self._life)):
                if inspect.iscoroutinefunction(function):
                    return await self._live_async(seams, function)
                result = function(self._home.folder, *self._args, **self._kwargs)
                if inspect.isawaitable(result):
                    raise TypeError(
                        f"{_name(function)} is no async function and returned an awaitable; make it async def"
                    )
                return result
        finally:
            seams.at_death = before

    async def _live_async(self, seams: Seams, function: Function) -> Any:
        others = asyncio.all_tasks()
        try:
            return await function(self._home.folder, *self._args, **self._kwargs)
        finally:
            if seams.dead:
                left_behind = asyncio.all_tasks() - others
                for task in left_behind:
                    task.cancel()
                await asyncio.gather(*left_behind, return_exceptions=True)


@overload
def restartable(function: Function, /) -> Restartable: ...
@overload
def restartable(*, resume: Function | None = None) -> Callable[[Function], Restartable]: ...
def restartable(
    function: Function | None = None, /, *, resume: Function | None = None
) -> Restartable | Callable[[Function], Restartable]:
    """Say how an agent is built over its own store, so that it can die anywhere and be started again.

    The function, sync or async, is called as `function(folder, *args, **kwargs)`, `folder` being the same folder for
    all lives, empty when the run begins. `resume` is called in the same way for each life after the first; without it
    the function is called again, as by a queue that delivers a task until it is done. What it keeps in `folder` is its
    store: commits to SQLite databases and writes to files there are sites. What it has open there is closed when it
    ends. At its death its files are kept as they are in that moment, and its tasks are cancelled. Raises TypeError
    where only one of the two is async.
    """
    if function is not None:
        return Restartable(function, function)
    return lambda made: Restartable(made, resume or made)


def _name(function: Function) -> str:
    return str(getattr(function, "__qualname__", function))
