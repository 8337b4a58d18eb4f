"""The agent's process dies and is started again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, Left, ProcessEffect
from pytest_agent.faults.effects.boundaries import process_moment


class Crash(ProcessEffect):
    """Nothing of the process runs after the site: what was not durable is gone.

    `leaves` says what is left of its files: `torn` and `flushed` go with `when=written`.
    """

    name: ClassVar[str] = "crash"
    leaves: Left = "all"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies wherever the process passes this moment."""
        del sweep
        return [self] if process_moment(self.when, facts) else []

    def dies(self) -> bool:
        """It does."""
        return True

    def left(self) -> Left:
        """As it says."""
        return self.leaves
