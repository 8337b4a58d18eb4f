"""`@pytest.mark.chaos(...)`: which faults, and what is asked of the agent under them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_agent.chaos.options import check_supervised
from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.report.plain import PlainFailure

_KEYS = ("expect_failure", "faults", "must_recover", "supervised")


@dataclass(frozen=True, slots=True)
class ChaosMark:
    """The arguments of the mark.

    `faults`: one or several globs over `id` and `layer.id`, all by default. `must_recover`: a transient fault must end
    in success. `expect_failure`: the reason why this test is expected to break under some fault; it then fails if it
    does not. `supervised`: its runs are in a process that may die.
    """

    faults: tuple[str, ...] = ("*",)
    must_recover: bool = False
    expect_failure: str | None = None
    supervised: bool = False


def usable_mark(item: pytest.Item) -> ChaosMark:
    """The mark of a chaos test, its faults found in the catalogue. Raises pytest.UsageError: exit code 4."""
    try:
        mark = _read_mark(item)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return mark


def check_marks(config: pytest.Config, marked: list[pytest.Item], items: list[pytest.Item]) -> None:
    """Refuse the session for the first mark that cannot be read. Raises pytest.UsageError: exit code 4.

    In a worker of xdist that would look like a crash: there it is an error of collection, and nothing is run.
    """
    try:
        for item in marked:
            usable_mark(item)
    except pytest.UsageError as error:
        refuse(config, item, items, error)


def refuse(config: pytest.Config, item: pytest.Item, items: list[pytest.Item], error: pytest.UsageError) -> None:
    """End the session for what is wrong with the test. In a worker of xdist: as an error of collection."""
    if not hasattr(config, "workerinput"):
        raise error
    items.clear()
    report = pytest.CollectReport(item.nodeid, "failed", PlainFailure(str(error), item.location), [])
    config.hook.pytest_collectreport(report=report)


def _read_mark(item: pytest.Item) -> ChaosMark:
    mark = item.get_closest_marker("chaos")
    if mark is None:
        return ChaosMark()
    where = f"{item.nodeid}: @pytest.mark.chaos"
    if mark.args:
        raise UsageError(f"{where} takes keyword arguments only, found {mark.args[0]!r}; write faults={mark.args[0]!r}")
    for key in mark.kwargs:
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown argument {key!r}.{did_you_mean(key, _KEYS)}")
    faults = mark.kwargs.get("faults", "*")
    patterns = (faults,) if isinstance(faults, str) else tuple(faults) if isinstance(faults, (list, tuple)) else ()
    if not patterns or not all(isinstance(pattern, str) and pattern.strip() for pattern in patterns):
        raise UsageError(f"{where}: faults={faults!r} is not a glob or a list of globs, such as 'tool.*'")
    for key in ("must_recover", "supervised"):
        if not isinstance(mark.kwargs.get(key, False), bool):
            raise UsageError(f"{where}: {key}={mark.kwargs[key]!r} is not a bool; write True or False")
    if mark.kwargs.get("supervised"):
        try:
            check_supervised(item.config)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    reason = mark.kwargs.get("expect_failure")
    if reason is not None and (not isinstance(reason, str) or not reason):
        raise UsageError(f"{where}: expect_failure={reason!r} is not a reason; say why it is expected to break")
    if hasattr(getattr(item, "obj", None), "hypothesis"):
        raise UsageError(
            f"{where} and @given are on one test: both run it many times, and neither can be outermost. "
            "Take the values from @pytest.mark.parametrize, or remove the mark"
        )
    catalogue = load_catalogue()
    try:
        catalogue.select(patterns)
    except UsageError as error:
        raise UsageError(f"{where}: faults: {error}") from None
    return ChaosMark(
        patterns,
        must_recover=mark.kwargs.get("must_recover", False),
        expect_failure=reason,
        supervised=mark.kwargs.get("supervised", False),
    )
