"""The agent's process dies and is started again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, ProcessEffect


class Crash(ProcessEffect):
    """Nothing of the process runs after the site: what was not durable is gone."""

    name: ClassVar[str] = "crash"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies before and after every commit of the agent's store."""
        del facts, sweep
        return [self]

    def dies(self) -> bool:
        """It does."""
        return True
