"""The first step of every search: each fault alone, at every site and in every setting where it applies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.catalogue import Named
from pytest_agent.faults.effect import Effect, ProcessEffect
from pytest_agent.faults.schedule import Fault, Param, Schedule

GRAVITY = ("critical", "high", "medium", "low")


def single_faults(
    faults: Iterable[Named], sites: Sequence[SeenSite], *, swept: bool = True, most: int | None = None
) -> Iterator[Schedule]:
    """Schedules of one fault, fault by fault in the order given, then by site as the run reached them.

    `most` is how many there are of one fault at one kind of site, None for all. A fault by which the process dies is
    taken at every site: the one death that does harm is between two that do none.
    """
    for named in faults:
        found = [fault for seen in sites for fault in faults_at(named, seen, swept=swept)]
        deadly = isinstance(named.effect, ProcessEffect) and named.effect.dies()
        for fault in found if most is None or deadly else evenly(found, most):
            yield Schedule.of([fault])


def evenly(faults: Sequence[Fault], most: int) -> list[Fault]:
    """At most so many (two or more) of each kind of site, with the first and the last, as far apart as can be."""
    kinds: dict[tuple[bool, str, str | None], list[Fault]] = defaultdict(list)
    for fault in faults:
        kinds[fault.site.process, fault.site.seam, fault.site.phase].append(fault)
    chosen: set[Fault] = set()
    for alike in kinds.values():
        steps = min(most, len(alike)) - 1
        chosen |= {alike[step * (len(alike) - 1) // max(1, steps)] for step in range(steps + 1)}
    return [fault for fault in faults if fault in chosen]


def faults_at(named: Named, seen: SeenSite, *, swept: bool = False) -> Iterator[Fault]:
    """The fault at the site where it applies: in its own setting, or `swept` in all that its entry asks for."""
    if seen.seam == named.effect.seam:
        sweep = named.entry.sweep if swept and not named.is_control else ()
        for variant in named.effect.variants(seen.facts, sweep):
            yield Fault(named.id, seen.site, _difference(named.effect, variant))


def combined(faults: Iterable[Named]) -> list[Named]:
    """Those that are worth combining with others: the faults without their controls."""
    return [named for named in faults if not named.is_control]


def grave(faults: Iterable[Named]) -> list[Named]:
    """Those of severity high and critical, with their controls."""
    return [named for named in faults if named.entry.severity in GRAVITY[:2]]


def _difference(default: Effect, variant: Effect) -> tuple[tuple[str, Param], ...]:
    """The parameters in which a variant differs from the catalogue's own setting."""
    usual = default.model_dump()
    return tuple(sorted((key, value) for key, value in variant.model_dump().items() if usual[key] != value))
