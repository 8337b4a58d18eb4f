"""Where the harness stands in one run: each seam asks here what strikes at a site, and says what did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from pytest_agent.errors import ProcessDied
from pytest_agent.faults.effect import AroundProcess, Effect, Hands, Left, Moment, ProcessEffect
from pytest_agent.faults.schedule import Fault
from pytest_agent.faults.site import Site
from pytest_agent.trace import Died, FaultApplied, Trace

EffectT = TypeVar("EffectT", bound=Effect)

_HOW_IT_DIED: dict[Left, str] = {
    "all": "the process died here and was started again",
    "torn": "the process died in the middle of this write and was started again",
    "flushed": "the power failed here, what was not flushed is lost, and the process was started again",
}


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault of the schedule with the effect the catalogue gives it."""

    fault: Fault
    effect: Effect

    def strikes(self, site: Site) -> bool:
        """Whether it acts at this site: at its own, and for one that lasts at every later one of the seam."""
        if self.fault.site == site:
            return True
        if self.effect.lasts != "run" or (site.seam, site.name) != (
            self.fault.site.seam,
            self.fault.site.name,
        ):
            return False
        return (site.n, site.attempt) > (self.fault.site.n, self.fault.site.attempt)


class _Life:
    """One process of the agent: what goes on in its name after its death may not act any more."""

    alive = True


_LIFE: ContextVar[_Life | None] = ContextVar("pytest_agent_life", default=None)


def _go_on(boundary: str) -> None:
    del boundary


def _keep(left: Left) -> None:
    del left


class Seams:
    """The armed faults of one run, and the record of those that struck."""

    def __init__(self, trace: Trace, armed: tuple[Armed, ...] = ()) -> None:
        self.trace = trace
        self.armed = armed
        self.applied: set[Fault] = set()
        self.dead = False
        self.start_again = False
        self.restarts = 0
        """How often an agent was started once more, after its death or its end."""
        self.at_death: Callable[[Left], None] = _keep
        """Told what a death leaves of the agent's files, in the moment in which it dies."""
        self.hands = Hands()
        """What can be done to the agent that runs now."""
        self.at_boundary: Callable[[str], None] = _go_on
        """Told of every boundary that a real process passes; one that is to die there kills itself."""

    @property
    def faulted(self) -> bool:
        """Whether any fault has struck so far."""
        return bool(self.applied)

    def at(self, site: Site, kind: type[EffectT]) -> list[tuple[Fault, EffectT]]:
        """The effects of this kind that act at the site, in the order of the schedule."""
        return [
            (armed.fault, armed.effect)
            for armed in self.armed
            if isinstance(armed.effect, kind) and armed.strikes(site)
        ]

    def struck(self, fault: Fault, site: Site, detail: str) -> None:
        """Record that a fault acted here."""
        self.applied.add(fault)
        self.trace.append(FaultApplied(fault=fault.name, site=str(site), detail=detail))

    @contextmanager
    def life(self) -> Iterator[None]:
        """One process of the agent. What it has started, tasks and threads with its context, die with it."""
        life = _Life()
        before = _LIFE.set(life)
        try:
            yield
        finally:
            life.alive = not self.dead
            _LIFE.reset(before)

    @property
    def is_dead(self) -> bool:
        """Whether who asks goes on in the name of a process that has died."""
        life = _LIFE.get()
        return self.dead or (life is not None and not life.alive)

    def check_alive(self) -> None:
        """Raise ProcessDied again where a dead process goes on in its `finally` blocks: it may not act any more."""
        if self.is_dead:
            raise ProcessDied("the process is dead")

    def reach(self, site: Site, when: Moment = "commit") -> float:
        """A place where the agent's process can die: raises ProcessDied where a fault says so.

        Returns the virtual seconds that it stands still here.
        """
        self.check_alive()
        if when != "written":  # to a real process this is the same as after the commit
            self.at_boundary(f"{site} {when}")
            self.touch(site, when)
        place = site.at_process()
        still_s = 0.0
        for fault, effect in self.at(place, ProcessEffect):
            if fault in self.applied or effect.when != when or isinstance(effect, AroundProcess):
                continue
            if effect.dies():
                self.struck(fault, place, _HOW_IT_DIED[effect.left()])
                self.trace.append(Died(site=str(place)))
                self.dead = True
                self.at_death(effect.left())
                raise ProcessDied(str(place))
            if effect.stands_still_s():
                still_s += effect.stands_still_s()
                self.struck(fault, place, f"the process stood still for {effect.stands_still_s():g} s")
            else:
                self.struck(fault, place, "the process was started once more after its end")
                self.start_again = True
        return still_s

    def touch(self, site: Site, when: Moment) -> bool:
        """A place where something can be done to the agent, or to what is around it, while its process goes on.

        Returns whether anything was.
        """
        touched = False
        place = site.at_process()
        for fault, effect in self.at(place, AroundProcess):
            if fault not in self.applied and effect.when == when and (told := effect.act(self.hands, place)):
                self.struck(fault, place, told)
                touched = True
        return touched
