"""What is simpler than a fault as it is: an earlier place, the catalogue's own setting, a smaller number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pytest_agent.chaos.sites import SeenSite
from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import Catalogue, Named
from pytest_agent.faults.schedule import Fault, Param, Schedule
from pytest_agent.faults.site import Site

Rank = tuple[int, tuple[tuple[int, float, str], ...]]


def earlier_places(fault: Fault, sites: Sequence[SeenSite]) -> Iterator[Fault]:
    """The fault at every place of its kind before its own that the run went through, the earliest first.

    Of one kind are the calls of one tool, the requests of one conversation, the same side of the commits. A first
    attempt comes before a later one, whether or not the run had `sites` for it.
    """
    own = fault.site
    reached = {seen.site for seen in sites if _kind(seen.site) == _kind(own)}
    tried = {replace(own, attempt=attempt) for attempt in range(1, own.attempt)}
    for site in sorted(reached | tried, key=_when):
        if _when(site) < _when(own):
            yield replace(fault, site=site)


def simpler_settings(fault: Fault, sites: Sequence[SeenSite], catalogue: Catalogue) -> list[Fault]:
    """The fault in each simpler setting that it can take, the simplest first.

    Simple is what the catalogue has; then fewer parameters that differ from it; then smaller numbers and shorter text.
    """
    if not fault.params:
        return []
    named = catalogue[fault.id]
    usual = named.effect.model_dump()
    found = {params for params in _candidates(fault, named, sites) if _rank(params) < _rank(fault.params)}
    kept = {tuple((key, value) for key, value in params if usual.get(key) != value) for params in found}
    settings = (replace(fault, params=params) for params in sorted(kept, key=_rank))
    return [setting for setting in settings if _can_be(setting, catalogue)]


def _candidates(fault: Fault, named: Named, sites: Sequence[SeenSite]) -> Iterator[tuple[tuple[str, Param], ...]]:
    usual = named.effect.model_dump()
    facts = next((seen.facts for seen in sites if seen.site == fault.site), None)
    if facts is not None:
        for variant in named.effect.variants(facts, named.entry.sweep):
            yield tuple(sorted((key, value) for key, value in variant.model_dump().items() if usual[key] != value))
    yield ()
    for key, value in fault.params:
        rest = [pair for pair in fault.params if pair[0] != key]
        yield tuple(rest)
        for less in _smaller(value):
            yield tuple(sorted([*rest, (key, less)]))


def _smaller(value: Param) -> Iterable[Param]:
    if isinstance(value, bool):
        return (False,)
    if isinstance(value, str):
        return (value[: len(value) // 2], value[:-1])
    whole = int(abs(value))
    return sorted({number for number in (0, 1, 2, whole // 2, whole - 1, whole) if 0 <= number < abs(value)})


def _rank(params: tuple[tuple[str, Param], ...]) -> Rank:
    return len(params), tuple(_size(value) for _, value in params)


def _size(value: Param) -> tuple[int, float, str]:
    if isinstance(value, str):
        return 1, len(value), value
    return 0, abs(float(value)), ""


def _kind(site: Site) -> Site:
    return replace(site, n=1, attempt=1)


def _when(site: Site) -> tuple[int, int]:
    return site.n, site.attempt


def _can_be(setting: Fault, catalogue: Catalogue) -> bool:
    try:
        catalogue.arm(Schedule.of([setting]))
    except UsageError:
        return False
    return True
