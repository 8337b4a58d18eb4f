"""An event comes late."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Delivered, EventEffect, Facts


class LateEvent(EventEffect):
    """The event, and with it all after it, comes `for_s` virtual seconds later."""

    name: ClassVar[str] = "late-event"
    for_s: float = Field(default=2.0, gt=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every event."""
        del facts, sweep
        return [self]

    def change(self, deliveries: Sequence[Delivered], at: int) -> list[Delivered]:
        """The same events, one of them later."""
        late = dataclasses.replace(deliveries[at], delay_s=deliveries[at].delay_s + self.for_s)
        return [*deliveries[:at], late, *deliveries[at + 1 :]]
