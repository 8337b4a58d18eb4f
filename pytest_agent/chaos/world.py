"""Inside the world of a run, and outside it for a moment.

What belongs to one run is made inside: virtual time, the scripted model, the guard, seeded `random`. What outlives it,
a fixture of a wider scope, is made and undone outside: otherwise a server that a session starts would live in the
virtual time of whichever test happens to come first, and its randomness would move that test's. Only what may hold an
event loop stays inside, since the loops of all tests have to be virtual ones; outside they follow real time.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from pytest_agent.clock import keep, let_go
from pytest_agent.errors import UsageError
from pytest_agent.run import Run

_KEY = pytest.StashKey["World"]()
_LOOP_MAKERS = ("pytest_asyncio", "anyio")
_on: Run | Exception | None = None


class World:
    """Hooks that are there from the first test of ours on, and the run that is on, if any."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._inside: ExitStack | None = None
        self._random: object = None
        self._stepped_out = False

    @contextmanager
    def stand(self, run: Run | Exception) -> Iterator[None]:
        """Inside the run's world for one phase of its test. Where no run could be made: why, for the fixtures."""
        global _on
        outer, _on = _on, run
        self._run = run if isinstance(run, Run) else None
        try:
            self._enter()
            yield
        finally:
            _on, self._run = outer, None
            self._leave()

    def _enter(self) -> None:
        if self._run is not None and self._inside is None:
            self._random = self._run.random_state
            self._inside = self._run.inside()

    def _leave(self) -> None:
        if self._inside is not None:
            inside, self._inside = self._inside, None
            inside.close()

    def _step_out(self) -> None:
        """To where there is nothing of ours, not even what does nothing while no phase is on."""
        if self._inside is not None:
            self._leave()
            let_go()
            self._stepped_out = True

    def _step_in(self) -> None:
        if self._stepped_out:
            self._stepped_out = False
            keep()
            self._enter()

    def _settle(self) -> None:
        """Undo what others, such as pytest-randomly, have done to `random` since the phase began."""
        if self._inside is not None and self._random is not None:
            random.setstate(self._random)  # type: ignore[arg-type]
            self._random = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Step outside to make a fixture of a wider scope, and see to it that it is undone outside too."""
        del request
        self._settle()
        if self._inside is None or not _outlives(fixturedef):
            return (yield)
        fixturedef.addfinalizer(self._step_in)
        self._step_out()
        try:
            return (yield)
        finally:
            # Finalizers run in reverse order: this one first, then what undoes the fixture, then the one above.
            fixturedef.addfinalizer(self._step_out)
            self._step_in()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self) -> Generator[None, object, object]:
        """The test's own function starts with the random numbers that its seed gives it."""
        self._settle()
        return (yield)


def run_that_is_on() -> Run:
    """The run, for the fixtures: they would pay for `request` in every run, and have no other use for it.

    Raises UsageError where they are asked for too late.
    """
    if isinstance(_on, Run):
        return _on
    raise _on or UsageError(
        "the fixtures of pytest-agent are there from the start of a test, and cannot be had by "
        "request.getfixturevalue(); make them arguments of the test or of a fixture that it uses"
    )


def world_of(config: pytest.Config) -> World:
    """The one of this session, its hooks registered."""
    world = config.stash.get(_KEY, None)
    if world is None:
        world = config.stash[_KEY] = World()
        config.pluginmanager.register(world, "pytest_agent_world")
    return world


def _outlives(fixturedef: pytest.FixtureDef[Any]) -> bool:
    if fixturedef.scope == "function" or asyncio._get_running_loop() is not None:
        return False
    function = fixturedef.func
    makes_a_loop = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return not makes_a_loop and not function.__module__.startswith(_LOOP_MAKERS)
