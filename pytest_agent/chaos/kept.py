"""Schedules that broke a test the last time, kept in pytest's own cache: they are run first the next time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_agent.chaos.state import test_id
from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import Catalogue, Named
from pytest_agent.faults.schedule import Schedule
from pytest_agent.folder import slug

_MOST = 50


def kept(item: pytest.Item, faults: Iterable[Named], catalogue: Catalogue) -> list[Schedule]:
    """The schedules kept for a test, of these faults. Empty where the cache is off, or does not have what we put there.

    A schedule that the catalogue no longer knows is left out.
    """
    cache = _cache(item)
    found = cache.get(_key(item), []) if cache is not None else []
    names = {fault.id for fault in faults}
    schedules = []
    for text in found if isinstance(found, list) else []:
        schedule = _read(text, catalogue)
        if schedule is not None and {fault.id for fault in schedule.faults} <= names:
            schedules.append(schedule)
    return schedules


def keep(item: pytest.Item, schedules: Iterable[str]) -> None:
    """Keep these, and no others, for the next time: as many as are worth the time, the first ones."""
    cache = _cache(item)
    wanted = list(dict.fromkeys(schedules))[:_MOST]
    if cache is not None and cache.get(_key(item), []) != wanted:
        cache.set(_key(item), wanted)


def _read(text: object, catalogue: Catalogue) -> Schedule | None:
    try:
        schedule = Schedule.parse(str(text))
        catalogue.arm(schedule)
    except UsageError:
        return None
    return schedule


def _key(item: pytest.Item) -> str:
    return f"pytest-agent/kept/{slug(test_id(item))}"


def _cache(item: pytest.Item) -> pytest.Cache | None:
    return getattr(item.config, "cache", None)
