"""An event says more than it has to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Self

from pytest_agent.faults.effect import Delivered, EventEffect, Facts


class ExtraPayload(EventEffect):
    """The payload has one field more, as after a new release of who sends it."""

    name: ClassVar[str] = "extra-payload"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every event whose payload is an object."""
        del sweep
        return [self] if facts.get("fields") else []

    def change(self, deliveries: Sequence[Delivered], at: int) -> list[Delivered]:
        """The same events, one of them with a field more; what is no object stays as it is."""
        meant = deliveries[at]
        if not isinstance(meant.payload, Mapping):
            return list(deliveries)
        more = dataclasses.replace(meant, payload={"sent_by": "webhooks/2", **meant.payload})
        return [*deliveries[:at], more, *deliveries[at + 1 :]]
