"""Prices: what a model's tokens cost in USD. Unknown is None, never zero."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentfsm.errors import DefinitionError
from agentfsm.turns import Usage

SHIPPED = Path(__file__).parent / "prices.yaml"
Price = Callable[[str, Usage], float | None]
"""From the name of a model (`openai/gpt-5`) and what it used to USD; None where no price is known."""

_EXPECTED = "{input: USD, cached: USD, output: USD, long: {above: tokens, input: ...}} per million tokens"


@dataclass(frozen=True)
class _Rate:
    """USD per million tokens; `cached` None: as any input. `long` is for requests of more than `above` tokens."""

    input: float
    output: float
    cached: float | None = None
    long: _Rate | None = None
    above: float = math.inf

    def of(self, usage: Usage) -> float:
        if self.long is not None and usage.input_tokens > self.above:
            return self.long.of(usage)
        cached = min(usage.cached_tokens or 0, usage.input_tokens)
        before = self.input if self.cached is None else self.cached
        new = usage.input_tokens - cached
        return (new * self.input + cached * before + usage.output_tokens * self.output) / 1e6


def load_prices(given: Path | Mapping[str, Mapping[str, Any]] = SHIPPED) -> Price:
    """Return the prices of a file, or of a mapping `{"openai/gpt-5": {"input": 1.25, "output": 10}}`.

    USD per million tokens. `cached` is the price of input that the provider had seen before (left out: that of any
    input), `long` that of requests `above` a number of input tokens. A dated name, `openai/gpt-5-2025-08-07`, has the
    price of the name before the date where it has none of its own. Raises DefinitionError with all that is wrong.
    """
    table = _checked(
        _read(given) if isinstance(given, Path) else given, f"{given}: " if isinstance(given, Path) else ""
    )

    def price(model: str, usage: Usage) -> float | None:
        rate = table.get(model) or table.get(_undated(model))
        return None if rate is None else rate.of(usage)

    return price


def cost_usd(model: str, usage: Usage) -> float | None:
    """Return the USD by the shipped prices, or None for a model that is not among them."""
    return _shipped()(model, usage)


@functools.cache
def _shipped() -> Price:
    return load_prices()


def _undated(model: str) -> str:
    name, dash, last = model.rpartition("-")
    if dash and len(last) == 8 and last.isdigit():
        return name
    parts = model.rsplit("-", 3)
    return parts[0] if len(parts) == 4 and all(part.isdigit() for part in parts[1:]) else model


def _read(path: Path) -> Mapping[str, Any]:
    from agentfsm.config.yaml_file import read_yaml  # only where a file is read: the runtime itself needs no YAML

    file = read_yaml(path, str(path))
    if file.faults:
        raise DefinitionError("\n".join(file.faults[:20]))
    models = file.data.get("models")
    if not isinstance(models, Mapping):
        raise DefinitionError(f"{path}: expected a mapping with 'models'")
    return models


def _checked(models: Mapping[str, Any], where: str) -> dict[str, _Rate]:
    table, faults = {}, []
    for name, entry in models.items():
        rate = _rate(entry, {"long"})
        if rate is None:
            faults.append(f"{name}: expected {_EXPECTED}")
        else:
            table[name] = rate
    if faults:
        raise DefinitionError(f"{where}{'; '.join(faults[:20])}")
    return table


def _rate(entry: Any, more: set[str]) -> _Rate | None:
    """Return the rate that an entry gives, or None where it gives none. `more` are the keys beyond the prices."""
    if not isinstance(entry, Mapping) or set(entry) - {"input", "output", "cached"} - more:
        return None
    prices = {key: value for key, value in entry.items() if key != "long"}
    if not {"input", "output"} <= prices.keys() or not all(map(_is_price, prices.values())):
        return None
    if "long" not in entry:
        return _Rate(**prices)
    beyond = _rate(entry["long"], {"above"})
    return (
        None if beyond is None or math.isinf(beyond.above) else _Rate(**prices | {"above": beyond.above}, long=beyond)
    )


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
