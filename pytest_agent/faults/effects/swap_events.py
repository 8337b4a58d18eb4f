"""An event is overtaken by the one after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from pytest_agent.faults.effect import Delivered, EventEffect, Facts


class SwapEvents(EventEffect):
    """The event at the site and the one after it change places; each keeps its identity and what it says."""

    name: ClassVar[str] = "swap-events"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every event that another one follows."""
        del sweep
        return [self] if facts.get("followed") else []

    def change(self, deliveries: Sequence[Delivered], at: int) -> list[Delivered]:
        """The two the other way round, at the times at which one came before; a last event stays where it is."""
        if at + 1 >= len(deliveries):
            return list(deliveries)
        first, second = deliveries[at], deliveries[at + 1]
        swapped = [
            dataclasses.replace(second, delay_s=first.delay_s),
            dataclasses.replace(first, delay_s=second.delay_s),
        ]
        return [*deliveries[:at], *swapped, *deliveries[at + 2 :]]
