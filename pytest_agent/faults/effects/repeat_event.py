"""One event is delivered several times."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Delivered, EventEffect, Facts


class RepeatEvent(EventEffect):
    """The event comes `times` in all, `apart_s` virtual seconds apart, each time with the same identity."""

    name: ClassVar[str] = "repeat-event"
    times: int = Field(default=2, ge=2, le=20)
    apart_s: float = Field(default=3.0, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every event."""
        del facts, sweep
        return [self]

    def change(self, deliveries: Sequence[Delivered], at: int) -> list[Delivered]:
        """The repetitions right after the first."""
        again = [dataclasses.replace(deliveries[at], delay_s=self.apart_s)] * (self.times - 1)
        return [*deliveries[: at + 1], *again, *deliveries[at + 1 :]]
