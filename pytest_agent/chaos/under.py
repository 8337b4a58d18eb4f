"""A test that is to run under one schedule, whatever the session asks for: a scenario says so."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_agent.faults.schedule import Schedule

_KEY = pytest.StashKey["Under"]()


@dataclass(frozen=True, slots=True)
class Under:
    """The schedule, and the place where it is said: `scenarios/one.yaml:12`; none where the command line says it."""

    schedule: Schedule
    where: str = ""


def run_under(item: pytest.Item, under: Under) -> None:
    """From now on the test runs under this schedule, with `--chaos` or without."""
    item.stash[_KEY] = under


def under_of(item: pytest.Item) -> Under | None:
    """What the test is to run under. None for a test that is searched as the session asks for."""
    return item.stash.get(_KEY, None)
