"""An event comes that nobody has asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from pytest_agent.faults.effect import Delivered, EventEffect, Facts


class UnknownEvent(EventEffect):
    """Before the event comes another of the same source, of a kind that the agent does not know."""

    name: ClassVar[str] = "unknown-event"
    kind: str = "account.renamed"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every event."""
        del facts, sweep
        return [self]

    def change(self, deliveries: Sequence[Delivered], at: int) -> list[Delivered]:
        """The stranger at the time of the event, and the event right after it."""
        meant = deliveries[at]
        stranger = dataclasses.replace(meant, event_id=f"{meant.event_id}-stranger", kind=self.kind, payload={})
        return [*deliveries[:at], stranger, dataclasses.replace(meant, delay_s=0.0), *deliveries[at + 1 :]]
