"""The first step of every search: each fault alone, at every site and in every setting where it applies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_agent.chaos.sites import SeenSite
from pytest_agent.faults.catalogue import Named
from pytest_agent.faults.effect import Effect
from pytest_agent.faults.schedule import Fault, Param, Schedule


def single_faults(faults: Iterable[Named], sites: Sequence[SeenSite]) -> Iterator[Schedule]:
    """Schedules of one fault, fault by fault in the order given, then by site as the run reached them."""
    for named in faults:
        sweep = () if named.is_control else named.entry.sweep
        for seen in sites:
            if seen.seam != named.effect.seam:
                continue
            for variant in named.effect.variants(seen.facts, sweep):
                yield Schedule.of([Fault(named.id, seen.site, _difference(named.effect, variant))])


def _difference(default: Effect, variant: Effect) -> tuple[tuple[str, Param], ...]:
    """The parameters in which a variant differs from the catalogue's own setting."""
    usual = default.model_dump()
    return tuple(sorted((key, value) for key, value in variant.model_dump().items() if usual[key] != value))
