"""What a model's tokens cost in USD. An unknown price is None, never zero."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_agent.errors import UsageError
from pytest_agent.llm.turn import Usage
from pytest_agent.problems import say_problem
from pytest_agent.yaml_file import read_yaml

SHIPPED = Path(__file__).with_name("prices.yaml")
MOST_FOUND = 1_000
"""Names that are remembered with their price."""

_DATED = re.compile(r"(?P<family>.+?)[-@](\d{8}|\d{4}-\d{2}-\d{2})")


class _Rates(BaseModel):
    """USD per million tokens; `cached` None is the price of any input."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)

    def of(self, usage: Usage) -> float:
        """USD for these tokens."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        before = self.input if self.cached is None else self.cached
        new = usage.input_tokens - cached
        return (new * self.input + cached * before + usage.output_tokens * self.output) / 1e6


class _Long(_Rates):
    above: int = Field(ge=0)


class _Price(_Rates):
    long: _Long | None = None

    def of(self, usage: Usage) -> float:
        """USD for one request: all of it at the prices of long ones where it is one."""
        if self.long is not None and usage.input_tokens > self.long.above:
            return self.long.of(usage)
        return super().of(usage)


class _Table(BaseModel):
    """The file. Dates, sources and the like are for people; a `unit` must be the one that is read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    unit: Literal["USD per million tokens"] = "USD per million tokens"
    models: dict[str, _Price]


class Prices:
    """Prices by model, as `Prices.load` reads them."""

    def __init__(self, models: Mapping[str, _Price]) -> None:
        self._models = dict(models)
        self._bare: dict[str, list[_Price]] = {}
        self._found: dict[str, _Price | None] = {}
        for name, price in models.items():
            self._bare.setdefault(name.rpartition("/")[2], []).append(price)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The prices of a YAML file, by default those that are shipped.

        USD per million tokens: `models: {openai/gpt-5: {input: 1.25, cached: 0.125, output: 10}}`, where `cached` may
        be left out and `long: {above: 272000, input: ...}` gives the prices of requests with more input tokens.
        Raises UsageError with file, line and what is wrong.
        """
        file = read_yaml(path or SHIPPED, None if path is not None else "prices.yaml")
        return cls(file.validate(_Table).models)

    def with_overrides(self, models: Mapping[str, Mapping[str, Any]]) -> Self:
        """These prices and those of `{"openai/gpt-5": {"input": 1.25, "output": 10}}`, which win.

        A name without a provider stands for the model of every provider. Raises UsageError for what is no price.
        """
        made = dict(self._models)
        for name, given in models.items():
            try:
                price = _Price.model_validate(given)
            except ValidationError as error:
                said = "; ".join(
                    f"{'.'.join(map(str, item['loc']))}: {say_problem(item, sorted(_Price.model_fields))}"
                    for item in error.errors()
                )
                raise UsageError(f"price of {name!r}: {said}") from None
            if "/" not in name:
                made = {known: old for known, old in made.items() if known.rpartition("/")[2] != name}
            made[name] = price
        return type(self)(made)

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """USD for the tokens of one request to a model, or None where its price is not known.

        `model` is what a request names: `gpt-5`, `openai/gpt-5` or `models/gemini-2.5-pro`. A dated name, such as
        `gpt-5-2025-08-07`, has the price of the name before the date unless it has one of its own; of no other name is
        a part taken for the whole. A name without a provider that two sell at different prices is not known.
        """
        if model not in self._found:
            if len(self._found) >= MOST_FOUND:
                self._found.clear()
            self._found[model] = self._look_up(model)
        price = self._found[model]
        return None if price is None else price.of(usage)

    def _look_up(self, model: str) -> _Price | None:
        price = self._price(model)
        if price is None:
            dated = _DATED.fullmatch(model)
            price = self._price(dated["family"]) if dated else None
        return price

    def _price(self, model: str) -> _Price | None:
        price = self._models.get(model) or self._models.get(model.rpartition("/")[2])
        if price is not None:
            return price
        found = self._bare.get(model.removeprefix("models/"), [])
        return found[0] if found and all(price == found[0] for price in found) else None


@functools.cache
def shipped() -> Prices:
    """The shipped prices, read once."""
    return Prices.load()
