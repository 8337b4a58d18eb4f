"""What a conversation has used, counted where its requests arrive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pytest_agent.llm.turn import Usage


@dataclass(frozen=True, slots=True)
class Spent:
    """Logical `calls`, the wire `requests` they took, and tokens of every reply that the model spoke.

    A provider counts what it has said, whether or not it arrived: the tokens of attempts that were cut are among them.
    `cost_usd` is None where the price of some of it is not known.
    """

    calls: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.calls + other.calls,
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd,
        )


def total(parts: Iterable[Spent]) -> Spent:
    """The sum of them."""
    return sum(parts, Spent())


class Meter:
    """Counts by model."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}

    @property
    def by_model(self) -> dict[str, Spent]:
        """What each model was asked and has said."""
        return {model: count.spent() for model, count in self._counts.items()}

    @property
    def total(self) -> Spent:
        """Of all models."""
        return total(self.by_model.values())

    def requested(self, model: str, *, attempt: int) -> None:
        """A wire request has come; with its first attempt a logical call."""
        count = self._count(model)
        count.requests += 1
        count.calls += attempt == 1

    def spoke(self, model: str, usage: Usage, cost_usd: float | None) -> None:
        """The model has said something to a request that was counted."""
        count = self._count(model)
        count.input_tokens += usage.input_tokens
        count.output_tokens += usage.output_tokens
        count.cached_tokens += usage.cached_tokens
        count.reasoning_tokens += usage.reasoning_tokens
        count.cost_usd = None if count.cost_usd is None or cost_usd is None else count.cost_usd + cost_usd

    def add(self, other: Meter) -> None:
        """Count what the other has counted."""
        for model, spent in other.by_model.items():
            self._counts[model] = _Count(self._count(model).spent() + spent)

    def snapshot(self) -> dict[str, Any]:
        """As JSON data."""
        return {model: asdict(spent) for model, spent in self.by_model.items()}

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from there."""
        self._counts = {model: _Count(Spent(**spent)) for model, spent in data.items()}

    def _count(self, model: str) -> _Count:
        count = self._counts.get(model)
        if count is None:
            count = self._counts[model] = _Count(Spent())
        return count


class _Count:
    """A sum that is added to in place: under load there are thousands a second."""

    __slots__ = (
        "cached_tokens",
        "calls",
        "cost_usd",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "requests",
    )

    def __init__(self, spent: Spent) -> None:
        self.calls = spent.calls
        self.requests = spent.requests
        self.input_tokens = spent.input_tokens
        self.output_tokens = spent.output_tokens
        self.cached_tokens = spent.cached_tokens
        self.reasoning_tokens = spent.reasoning_tokens
        self.cost_usd = spent.cost_usd

    def spent(self) -> Spent:
        """The sum so far."""
        return Spent(
            self.calls,
            self.requests,
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
            self.cost_usd,
        )
