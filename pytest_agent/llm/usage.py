"""What a conversation has used, counted where its requests arrive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
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
        self.by_model: dict[str, Spent] = {}

    @property
    def total(self) -> Spent:
        """Of all models."""
        return total(self.by_model.values())

    def requested(self, model: str, *, attempt: int) -> None:
        """A wire request has come; with its first attempt a logical call."""
        spent = self.by_model.get(model, Spent())
        self.by_model[model] = replace(spent, calls=spent.calls + (attempt == 1), requests=spent.requests + 1)

    def spoke(self, model: str, usage: Usage, cost_usd: float | None) -> None:
        """The model has said something to a request that was counted."""
        self.by_model[model] += Spent(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_usd=cost_usd,
        )

    def snapshot(self) -> dict[str, Any]:
        """As JSON data."""
        return {model: asdict(spent) for model, spent in self.by_model.items()}

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from there."""
        self.by_model = {model: Spent(**spent) for model, spent in data.items()}
