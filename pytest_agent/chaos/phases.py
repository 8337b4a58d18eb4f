"""The world around pytest's three phases of one test: set up, call, tear down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from _pytest.outcomes import Exit, OutcomeException, Skipped, XFailed

from pytest_agent.chaos.state import TestState, state_of
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
    """A new run begins before the first fixture of the test is made."""
    with state_of(item).new_run().inside():
        yield


@contextmanager
def teardown(item: pytest.Item) -> Iterator[None]:
    """Fixtures are undone in the world in which they were made."""
    state = state_of(item)
    if state.run is None:
        yield
        return
    with state.run.inside():
        yield


@contextmanager
def call(item: pytest.Item) -> Iterator[None]:
    """The test's own function, and after it the judgement. A probe swallows what comes out of it."""
    state = state_of(item)
    run = state.run
    if run is None:
        raise RuntimeError(f"{item.nodeid}: called without a setup")
    error: BaseException | None = None
    with run.inside():
        try:
            yield
        except (KeyboardInterrupt, SystemExit, Exit):
            raise
        except BaseException as caught:  # noqa: BLE001 - judged, and raised again where this run is for the record
            error = caught
        run.body_ended(_as_assertion(error))
    state.error = error = _after(state, run, error)
    if error is not None and not state.probing:
        raise error


def _after(state: TestState, run: Run, error: BaseException | None) -> BaseException | None:
    """What the test ends with, once the run is judged."""
    if isinstance(error, (Skipped, XFailed)):
        return error
    if state.schedule.faults:
        if state.judge is None:
            return None
        state.verdict = state.judge(state)
        return state.conclusion(state.verdict, error) if state.conclusion is not None else error
    try:
        run.check(error)
    except AssertionError as found:
        return found
    if error is None and state.clean_conclusion is not None:
        return state.clean_conclusion()
    return error


def _as_assertion(error: BaseException | None) -> BaseException | None:
    # `pytest.fail()` says the same as a failed assertion.
    if isinstance(error, OutcomeException) and not isinstance(error, (Skipped, XFailed)):
        return AssertionError(str(error))
    return error
