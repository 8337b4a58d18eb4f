"""The process is started again although its task has ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, ProcessEffect


class Restart(ProcessEffect):
    """After the last commit the agent ends as always, and is then resumed once more."""

    name: ClassVar[str] = "restart"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies after the last commit only."""
        del sweep
        return [self] if facts.get("last") else []

    def dies(self) -> bool:
        """It does not."""
        return False
