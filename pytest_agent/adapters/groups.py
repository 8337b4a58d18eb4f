"""What an exception group is about: task groups wrap what ended them."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_agent.clock import NothingToWaitFor
from pytest_agent.errors import RunAbort
from pytest_agent.outcome import failure_claim


def heart(error: BaseException) -> BaseException:
    """The one exception that says how a run ended: `error` itself, or the gravest inside a group."""
    return min(_leaves(error), key=_rank)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _rank(error: BaseException) -> int:
    if isinstance(error, (RunAbort, NothingToWaitFor)):
        return 0
    if isinstance(error, AssertionError):
        return 1
    return 2 if failure_claim(error).crash else 3
