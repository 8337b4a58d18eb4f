"""An event says more than it has to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from pytest_agent.faults.effect import Delivered, EventEffect, Facts


class ExtraPayload(EventEffect):
    """The payload has one field more, as after a new release of who sends it."""

    name: ClassVar[str] = "extra-payload"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every event."""
        del facts, sweep
        return [self]

    def change(self, deliveries: Sequence[Delivered], at: int) -> list[Delivered]:
        """The same events, one of them with a field more."""
        meant = deliveries[at]
        more = dataclasses.replace(meant, payload={"sent_by": "webhooks/2", **meant.payload})
        return [*deliveries[:at], more, *deliveries[at + 1 :]]
