"""What an agent claims at the end, read from what it returns or raises.

A callable that returns claims `success`; one that raises claims `failed`; one that returns an object with `outcome`
is taken at its word. A programming error that leaves it is a crash, unless it was raised from an error of the
transport, the SDK, the tool or the agent's own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Literal, get_args

from pytest_agent.errors import PytestAgentError, UsageError, did_you_mean
from pytest_agent.trace import OutcomeClaimed, safe_repr, without_addresses

Outcome = Literal["success", "partial", "failed", "cancelled", "limit", "unknown"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)

_PROGRAMMING = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    RecursionError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""The standard library's own error types for mistakes in a program; an agent's subclass of one is its own error."""


class AgentFailed(PytestAgentError):
    """An agent outside of this process failed. `crash`: by a mistake in its program, not by its own decision."""

    def __init__(self, detail: str, *, crash: bool = False) -> None:
        super().__init__(detail)
        self.crash = crash

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {"crash": self.crash}


def result_claim(result: object, claims: str | None = None) -> OutcomeClaimed:
    """The claim of an agent that returned. `claims` says otherwise. Raises UsageError for an unknown outcome."""
    outcome: Any = claims if claims is not None else getattr(result, "outcome", "success")
    word = str(getattr(outcome, "value", outcome))
    if word not in OUTCOMES:
        raise UsageError(
            f"unknown outcome {word!r}.{did_you_mean(word, OUTCOMES)} "
            "If the agent means something else by it, say what it claims: run_agent(..., claims='success')"
        )
    cause = getattr(result, "cause", None)
    return OutcomeClaimed(
        outcome=word,
        cause=None if cause is None else str(getattr(cause, "value", cause)),
        detail=safe_repr(result)[:300],
        errors=[],
        crash=False,
    )


def failure_claim(error: BaseException) -> OutcomeClaimed:
    """The claim of an agent that raised: `failed`, and whether it is a crash."""
    chain = _chain(error)
    return OutcomeClaimed(
        outcome="cancelled" if isinstance(error, asyncio.CancelledError) else "failed",
        cause=None,
        detail=say_error(error),
        errors=[say_error(item) for item in chain],
        crash=_is_crash(error),
    )


def say_error(error: BaseException) -> str:
    """The type and the message of an exception, in one line that is the same in every process."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - an author's __str__ may raise anything
        text = f"(its text raised {type(broken).__name__})"
    return without_addresses(f"{type(error).__qualname__}: {text}")[:300]


def raised_by_tool(error: BaseException) -> None:
    """Note that a tool of the sandbox raised this: it is the tool's own, honest to fail with, whatever its type."""
    with suppress(AttributeError, TypeError):
        error._pytest_agent_tool = True  # type: ignore[attr-defined]


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and all(link is not seen for seen in chain):
        chain.append(link)
        link = link.__cause__
    return chain


def _is_crash(error: BaseException) -> bool:
    return all(_is_mistake(item) for item in _chain(error))


def _is_mistake(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        # A task group says nothing of its own: it is what is in it.
        return any(_is_crash(inner) for inner in error.exceptions)
    if isinstance(error, AgentFailed):
        return error.crash
    return is_programming_error(type(error)) and not hasattr(error, "_pytest_agent_tool")


def is_programming_error(kind: type[object]) -> bool:
    """Whether a type is the standard library's own for mistakes in a program."""
    return kind.__module__ in ("builtins", "json.decoder") and issubclass(kind, _PROGRAMMING)
