"""The agent's process dies and is started again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, ProcessEffect
from pytest_agent.faults.effects.boundaries import process_moment


class Crash(ProcessEffect):
    """Nothing of the process runs after the site: what was not durable is gone."""

    name: ClassVar[str] = "crash"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies around every commit of the agent's store, at every call of a tool, or after every effect of one."""
        del sweep
        return [self] if process_moment(self.when, facts) else []

    def dies(self) -> bool:
        """It does."""
        return True
