"""The store of an agent cannot be written, for good or for a while."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field

from pytest_agent.faults.effect import Condition, Facts, StoreEffect

_SAYS: dict[Condition, str] = {
    "full": "database or disk is full",
    "read-only": "attempt to write a readonly database",
    "locked": "database is locked",
}


class StoreBroken(StoreEffect):
    """From a commit on every commit fails with the store's own error for this condition, and nothing is written.

    After `for_s` virtual seconds it is over; 0 is never. Who waits for a lock waits as long as its own limit says.
    """

    name: ClassVar[str] = "store-broken"
    lasts: Literal["attempt", "run"] = "run"
    how: Condition
    for_s: float = Field(default=0.0, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies before every commit."""
        del sweep
        return [self] if facts.get("phase") == "before" else []

    def fails(self) -> str:
        """The words of SQLite."""
        return _SAYS[self.how]

    def condition(self) -> Condition:
        """As it says."""
        return self.how

    def for_how_long_s(self) -> float:
        """As it says."""
        return self.for_s or math.inf
