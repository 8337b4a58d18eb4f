"""What an agent claims at the end, read from what it returns or raises.

A callable that returns claims `success`; one that raises claims `failed`; one that returns an object with `outcome`
is taken at its word. A programming error that leaves it is a crash, unless it was raised from an error of the
transport, the SDK, the tool or the agent's own.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.trace import OutcomeClaimed

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


def result_claim(result: object, claims: str | None = None) -> OutcomeClaimed:
    """The claim of an agent that returned. `claims` says otherwise. Raises UsageError for an unknown outcome."""
    outcome: Any = claims if claims is not None else getattr(result, "outcome", "success")
    word = str(getattr(outcome, "value", outcome))
    if word not in OUTCOMES:
        raise UsageError(f"unknown outcome {word!r}.{did_you_mean(word, OUTCOMES)}")
    cause = getattr(result, "cause", None)
    return OutcomeClaimed(
        outcome=word,
        cause=None if cause is None else str(getattr(cause, "value", cause)),
        detail=repr(result)[:300],
        errors=[],
        crash=False,
    )


def failure_claim(error: BaseException) -> OutcomeClaimed:
    """The claim of an agent that raised: `failed`, and whether it is a crash."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__
    return OutcomeClaimed(
        outcome="failed",
        cause=None,
        detail=_say(error),
        errors=[_say(item) for item in chain],
        crash=all(_is_mistake(item) for item in chain),
    )


def _is_mistake(error: BaseException) -> bool:
    kind = type(error)
    standard = kind.__module__ in ("builtins", "json.decoder")
    return standard and isinstance(error, _PROGRAMMING)


def _say(error: BaseException) -> str:
    return f"{type(error).__qualname__}: {error}"[:300]
