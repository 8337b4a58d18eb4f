"""The three phases of one test of ours: set up, call, tear down, each inside the world of its run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
from _pytest.outcomes import Exit, OutcomeException, Skipped, XFailed

from pytest_agent.adapters.groups import heart
from pytest_agent.chaos.state import TestState, known_state, state_of
from pytest_agent.chaos.world import world_of
from pytest_agent.errors import PytestAgentError
from pytest_agent.run import Run


class InvariantViolated(PytestAgentError, AssertionError):
    """Something that must hold whatever breaks did not. Its text is the whole report."""


class NotReproduced(PytestAgentError, AssertionError):
    """A schedule failed in the search and not, or not in the same way, when it was run again."""


class SurvivedUnexpectedly(PytestAgentError, AssertionError):
    """A test marked with `expect_failure` broke under no fault."""


@contextmanager
def setup(item: pytest.Item) -> Iterator[None]:
    """A new run begins before the first fixture of the test is made.

    Where it cannot, pytest's own setup goes on all the same, and the test fails when it asks for the first fixture.
    """
    run: Run | Exception
    try:
        run = state_of(item).new_run()
    except (PytestAgentError, OSError) as error:
        run = error
    with world_of(item.config).stand(run):
        yield


@contextmanager
def teardown(item: pytest.Item) -> Iterator[None]:
    """Fixtures are undone in the world in which they were made."""
    state = known_state(item)
    if state is None:
        yield
        return
    try:
        with world_of(item.config).stand(state.run) if state.run is not None else nullcontext():
            yield
    finally:
        state.run_over()


@contextmanager
def call(item: pytest.Item) -> Iterator[None]:
    """The test's own function, and after it the judgement. A probe swallows what comes out of it."""
    __tracebackhide__ = True
    state = state_of(item)
    run = state.run
    if run is None:
        raise RuntimeError(f"{item.nodeid}: called without a setup")
    error: BaseException | None = None
    with world_of(item.config).stand(run):
        try:
            yield
        except (KeyboardInterrupt, Exit):
            raise
        except BaseException as caught:  # noqa: BLE001 - judged, and raised again where this run is for the record
            error = caught
        run.body_ended(_in_words_of_a_run(error))
        state.ended = True
    state.skipped = isinstance(error, (Skipped, XFailed))
    state.error = error = _after(state, run, error)
    if error is not None and not state.probing:
        raise error


def _after(state: TestState, run: Run, error: BaseException | None) -> BaseException | None:
    """What the test ends with, once the run is judged."""
    if state.skipped:
        return error
    if state.schedule.faults:
        if state.judge is None or state.conclusion is None:
            return None
        return state.conclusion(state.judge(state), error)
    try:
        run.check(error)
    except AssertionError as found:
        return found
    if error is None and state.clean_conclusion is not None:
        return state.clean_conclusion()
    return error


def _in_words_of_a_run(error: BaseException | None) -> BaseException | None:
    if isinstance(error, OutcomeException) and not isinstance(error, (Skipped, XFailed)):
        # `pytest.fail()` says the same as a failed assertion.
        return AssertionError(str(error))
    if isinstance(error, SystemExit):
        return RuntimeError(f"sys.exit({error.code!r})")
    return None if error is None else heart(error)
