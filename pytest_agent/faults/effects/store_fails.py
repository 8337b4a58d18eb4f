"""A commit of the agent's store fails once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pytest_agent.faults.effect import Facts, StoreEffect


class StoreFails(StoreEffect):
    """The store raises its own error, `reason`. At `before` nothing was written; at `after` all was."""

    name: ClassVar[str] = "store-fails"
    phase: Literal["before", "after"] = "before"
    reason: str = "database is locked"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies on one side of every commit."""
        del sweep
        return [self] if facts.get("phase") == self.phase else []

    def fails(self) -> str:
        """The reason."""
        return self.reason
