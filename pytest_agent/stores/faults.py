"""What the faults of the schedule do to a store, whatever kind of store it is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_agent.faults.effect import Condition, StoreEffect
from pytest_agent.faults.schedule import Fault
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a store does not do its work: in words, and the condition it is in, None where it is only this once."""

    reason: str
    condition: Condition | None = None


class StoreFaults:
    """Asks at every commit what strikes there, and remembers the conditions that last."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._until: dict[Fault, float] = {}

    def at(self, site: Site) -> Iterator[tuple[float, Failure | None]]:
        """What strikes at the site, one after the other: virtual seconds to wait, and then a failure to raise."""
        for fault, effect in self._seams.at(site, StoreEffect):
            if effect.delay_s():
                self._seams.struck(fault, site, f"the store was {effect.delay_s():g} s late")
                yield effect.delay_s(), None
            reason = effect.fails()
            if reason is None or (effect.condition() is not None and not self._lasts(fault, effect, site)):
                continue
            written = "after it was written" if site.phase == "after" else "before anything was written"
            self._seams.struck(fault, site, f"the commit failed {written}: {reason}")
            yield 0.0, Failure(reason, effect.condition())

    def holding(self, *conditions: Condition) -> Failure | None:
        """The first of these conditions that the store is in now."""
        now = time.monotonic()
        for armed in self._seams.armed:
            effect = armed.effect
            if isinstance(effect, StoreEffect) and effect.condition() in conditions and self._until:
                until = self._until.get(armed.fault)
                if until is not None and (math.isinf(until) or now < until):
                    return Failure(effect.fails() or "", effect.condition())
        return None

    def _lasts(self, fault: Fault, effect: StoreEffect, site: Site) -> bool:
        """Whether the condition still holds; it begins before a commit, at the first site where it strikes."""
        if site.phase != "before":
            return False
        now = time.monotonic()
        return now < self._until.setdefault(fault, now + effect.for_how_long_s())
