"""The wall clock is set, and no other clock moves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import AroundProcess, Facts, Hands, Moment
from pytest_agent.faults.effects.boundaries import moments
from pytest_agent.faults.site import Site

_JUMPS_S = (3600.0, -3600.0)
_SLEWED_S = 1.0


class WallClock(AroundProcess):
    """`time.time` and `datetime.now` jump by `by_s`; `time.monotonic`, `perf_counter` and the loop's time go on."""

    name: ClassVar[str] = "wall-clock"
    when: Moment = "asked"
    by_s: float = Field(default=3600.0, ge=-1e8, le=1e8)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies around every commit; where there is none, before every call of the model or of a tool.

        A move of less than a second at the first call of the model only.
        """
        whens = moments(facts)[:1]
        if facts.get("restartable") and "last" not in facts and not facts.get("first"):
            return []
        if abs(self.by_s) < _SLEWED_S and not facts.get("first"):
            return []
        jumps = _JUMPS_S if "by_s" in sweep else (self.by_s,)
        return [self.with_params(when=when, by_s=by_s) for when in whens for by_s in jumps]

    def act(self, hands: Hands, site: Site) -> str:
        """Set it."""
        del site
        return f"the wall clock was set by {self.by_s:+g} s" if hands.move_wall(self.by_s) else ""
