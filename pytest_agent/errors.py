"""Errors a user meets. Each says what was found, what was expected, and the edit to make."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PytestAgentError(Exception):
    """The base of every error of this package."""


class UsageError(PytestAgentError):
    """A file, an option or an argument is wrong; the message names it and the edit to make."""


class UnansweredCall(PytestAgentError, AssertionError):
    """The agent asked for something that no script, route or tool of the test answers."""


class LeftoverTurns(PytestAgentError, AssertionError):
    """The script has turns that the agent never asked for."""


class WorldDiffers(PytestAgentError, AssertionError):
    """The agent claims success and what `sandbox.must_hold` says of the world is not so."""


class ServerFailed(PytestAgentError, AssertionError):
    """The model server failed, or had to end an agent that does not stop asking."""


class ProcessDied(BaseException):
    """The agent's process ends here. Not an Exception: an agent that catches everything must not survive it."""


class RunAbort(BaseException):
    """The harness ends a run that would not end by itself. Not an Exception, for the same reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RunAbort], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean 'x'?' for a near miss, then what there is: the end of a sentence about an unknown name."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{hint} Known: {', '.join(names) or 'none'}."
