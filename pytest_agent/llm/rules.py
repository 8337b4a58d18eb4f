"""Rules: what the model says when a request fits, and how a request that does not fit differs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import Said, Turn, to_turn

Matcher = str | re.Pattern[str] | Callable[[str], bool]
"""Text fits a substring, a regular expression that is found in it, or a predicate."""

LONGEST = 160
"""Characters of a value that a message shows."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a rule asks of a request, by the name that `when` gives it."""

    name: str
    wanted: Any

    def found(self, request: ModelRequest, n: int) -> list[Any]:
        """The values of this request that may fit."""
        match self.name:
            case "turn":
                return [n]
            case "model":
                return [request.model]
            case "conversation":
                return [request.conversation]
            case "system":
                return ["\n".join(message.text for message in request.history if message.role == "system")]
            case "last":
                return [message.text for message in request.history[-1:]]
        return _results(request)

    def fits(self, request: ModelRequest, n: int) -> bool:
        """Whether one of the values fits."""
        # A loop, and no `any`: under load every request asks every rule.
        for value in self.found(request, n):  # noqa: SIM110
            if self._fits(value):
                return True
        return False

    def difference(self, request: ModelRequest, n: int) -> tuple[float, str]:
        """How near the request comes to fitting, from 0 to 1, and what is different, in one line; (1, "") if it fits.

        A predicate is asked about requests here that it was never asked about before: one that raises does not fit.
        """
        try:
            if self.fits(request, n):
                return 1.0, ""
        except Exception as error:  # noqa: BLE001 - the test's own predicate; the message says what it raised
            return 0.0, f"{self.name}: {_name(self.wanted)} raised {type(error).__name__}: {error}"
        values = self.found(request, n)
        if not values:
            return 0.0, f"{self.name}: there is none, expected {self._expected()}"
        if not isinstance(self.wanted, str):
            return 0.0, f"{self.name}: found {_short(values[-1])}, expected {self._expected()}"
        scored = [(*_nearest(self.wanted, value), value) for value in values]
        ratio, piece, value = max(scored, key=lambda entry: entry[0])
        near = f" (nearest: {piece!r})" if piece and piece != value and ratio >= 0.6 else ""
        return ratio * 0.9, f"{self.name}: found {_short(value)}, expected {self._expected()}{near}"

    def __str__(self) -> str:
        wanted = self.wanted
        shown = _name(wanted) if callable(wanted) else repr(wanted)
        return f"{self.name}={shown}"

    def _fits(self, value: Any) -> bool:
        if isinstance(self.wanted, re.Pattern):
            return self.wanted.search(value) is not None
        if callable(self.wanted):
            return bool(self.wanted(value))
        if isinstance(self.wanted, int) or self.name == "conversation":
            return bool(value == self.wanted)
        return self.wanted in value

    def _expected(self) -> str:
        if isinstance(self.wanted, re.Pattern):
            return f"a match of {self.wanted.pattern!r}"
        if callable(self.wanted):
            return f"what {_name(self.wanted)} takes"
        exact = isinstance(self.wanted, int) or self.name == "conversation"
        return repr(self.wanted) if exact else f"{self.wanted!r} in it"


@dataclass(slots=True, eq=False)
class Rule:
    """Made by `when`; `says` gives it the turns. `number` counts the rules of a test from 1, as they are written."""

    spelled: str
    number: int
    conditions: tuple[Condition, ...]
    times: int | None
    optional: bool
    turns: tuple[Turn, ...] = ()

    def says(self, *turns: Said) -> None:
        """What the model says when the rule fits, and in the calls of that conversation which follow, turn by turn.

        Raises TypeError for what a model cannot say, and where nothing is said.
        """
        if not turns:
            raise TypeError(f"{self}.says() says nothing; give at least one turn")
        self.turns = tuple(to_turn(said) for said in turns)

    def fits(self, request: ModelRequest, n: int) -> bool:
        """Whether every condition does."""
        for condition in self.conditions:
            if not condition.fits(request, n):
                return False
        return bool(self.turns)

    def difference(self, request: ModelRequest, n: int) -> tuple[float, str]:
        """How near the request comes to fitting, from 0 to 1, and how it differs: "" where it fits."""
        found = [condition.difference(request, n) for condition in self.conditions]
        return sum(near for near, _ in found) / len(found), "; ".join(line for _, line in found if line)

    def __str__(self) -> str:
        more = [] if self.times is None else [f"times={self.times}"]
        return f"{self.spelled}.when({', '.join([*map(str, self.conditions), *more])})"


def make_rule(spelled: str, number: int, wanted: Mapping[str, Any], *, times: int | None, optional: bool) -> Rule:
    """A rule with the conditions that are not None. Raises TypeError where there are none or one cannot be asked."""
    conditions = tuple(Condition(name, value) for name, value in wanted.items() if value is not None)
    if not conditions:
        raise TypeError(
            f"{spelled}.when() asks for nothing; give one of {', '.join(wanted)}, "
            f"or use {spelled}.answers_with(...) for every call"
        )
    for condition in conditions:
        kinds = (int,) if condition.name == "turn" else (str, re.Pattern)
        if not (isinstance(condition.wanted, kinds) or callable(condition.wanted)):
            form = "a number" if condition.name == "turn" else "text, a compiled regular expression"
            raise TypeError(f"{spelled}.when({condition}): expected {form} or a predicate, found {condition.wanted!r}")
    if times is not None and times < 1:
        raise ValueError(
            f"{spelled}.when(..., times={times}): expected 1 or more; leave the rule out to have it never fit"
        )
    return Rule(spelled, number, conditions, times, optional)


def _results(request: ModelRequest) -> list[str]:
    """The results of tools that have come since the model last spoke."""
    texts: list[str] = []
    for message in reversed(request.history):
        if message.role == "assistant":
            break
        if message.role == "tool":
            texts.append(message.text)
    return texts[::-1]


def _nearest(wanted: str, value: str) -> tuple[float, str]:
    """The run of words in `value` that is most like `wanted`, and how like it is, from 0 to 1."""
    words, width = value.split()[:200], max(1, len(wanted.split()))
    pieces = [" ".join(words[start : start + width]) for start in range(max(1, len(words) - width + 1))]
    scored = [(difflib.SequenceMatcher(None, wanted, piece).ratio(), piece) for piece in pieces]
    return max(scored, key=lambda entry: entry[0])


def _name(predicate: Callable[..., object]) -> str:
    return getattr(predicate, "__qualname__", type(predicate).__name__).rpartition("<locals>.")[2]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
