"""Prices: what a model's tokens cost in USD. Unknown is None, never zero."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from agentfsm.errors import DefinitionError
from agentfsm.turns import Usage

SHIPPED = Path(__file__).parent / "prices.yaml"
_MOST_BYTES = 1_000_000
Price = Callable[[str, Usage], float | None]
"""From the name of a model (`openai/gpt-5`) and what it used to USD; None where no price is known."""


def load_prices(given: Path | Mapping[str, Mapping[str, float]] = SHIPPED) -> Price:
    """Return the prices of a file, or of a mapping `{"openai/gpt-5": {"input": 1.25, "output": 10}}`.

    USD per million tokens. A dated name, `openai/gpt-5-2025-08-07`, has the price of the name before the date where it
    has none of its own. Raises DefinitionError with everything that is wrong.
    """
    table = _checked(_read(given) if isinstance(given, Path) else given, str(given) if isinstance(given, Path) else "")

    def price(model: str, usage: Usage) -> float | None:
        found = table.get(model) or table.get(_undated(model))
        if found is None:
            return None
        return (usage.input_tokens * found[0] + usage.output_tokens * found[1]) / 1e6

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


def _read(path: Path) -> Any:
    import yaml  # only where a file is read: the runtime itself needs no YAML

    try:
        raw = path.read_bytes()
        if len(raw) > _MOST_BYTES:
            raise DefinitionError(f"{path}: {len(raw)} bytes; a list of prices has at most {_MOST_BYTES}")
        found = yaml.safe_load(raw.decode())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DefinitionError(f"{path}: cannot be read as a list of prices: {error}") from error
    models = found.get("models") if isinstance(found, Mapping) else None
    if not isinstance(models, Mapping):
        raise DefinitionError(f"{path}: expected a mapping with 'models'")
    return models


def _checked(models: Mapping[Any, Any], where: str) -> dict[str, tuple[float, float]]:
    table: dict[str, tuple[float, float]] = {}
    faults = []
    for name, entry in models.items():
        entries = entry if isinstance(entry, Mapping) else {}
        given, got = entries.get("input"), entries.get("output")
        if set(entries) == {"input", "output"} and _is_price(given) and _is_price(got):
            table[str(name)] = (given, got)
        else:
            faults.append(f"{name}: expected {{input: USD, output: USD}} per million tokens, found {str(entry)[:60]}")
    if faults:
        raise DefinitionError(f"{where + ': ' if where else ''}{'; '.join(faults[:20])}")
    return table


def _is_price(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
