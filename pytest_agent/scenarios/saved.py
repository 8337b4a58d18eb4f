"""A scenario that is a test of Python under one schedule: how it is written, and how the test is found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import collect_one_node
from pydantic import BaseModel, ConfigDict, Field

from pytest_agent.chaos.under import Under
from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.yaml_file import YamlFile

_FIXTURES = {"clock", "llm", "llm_server", "run_agent", "sandbox"}


class SavedTest(BaseModel):
    """One file. `test` is the id of a test as seen from pytest's root, `under` a schedule, `about` what breaks."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    test: str = Field(pattern=r"^[^:]+\.py(::.+)+$")
    under: str
    about: str = ""


def read_under(file: YamlFile, text: str) -> Under:
    """The schedule that stands at `under`. Raises UsageError with file, line and the edit to make."""
    try:
        schedule = Schedule.parse(text)
        load_catalogue().arm(schedule)
    except UsageError as error:
        raise file.error(("under",), str(error)) from None
    return Under(schedule, file.where(("under",)))


def find_test(file: YamlFile, saved: SavedTest, near: pytest.Collector) -> pytest.Function:
    """The test, collected once more for the file at `near`: with the same fixtures, and an id of its own.

    Raises UsageError where it is not there, and where it is no chaos test.
    """
    path, *names = saved.test.split("::")
    node: pytest.Collector = _module(file, near, near.config.rootpath / path)
    # What stands in brackets may hold colons.
    names = _joined(names)
    for name in names[:-1]:
        found = _child(file, node, name)
        if not isinstance(found, pytest.Collector):
            raise file.error(("test",), f"{name!r} is a test and no class; take out what stands behind it")
        node = found
    item = _child(file, node, names[-1])
    if not isinstance(item, pytest.Function):
        raise file.error(("test",), f"{names[-1]!r} is no test; add the test's own name to it")
    if item.get_closest_marker("chaos") is None or not _FIXTURES & set(item.fixturenames):
        raise file.error(
            ("test",),
            f"{saved.test} is no chaos test any more; mark it with @pytest.mark.chaos and let it use llm or sandbox, "
            "or delete this file",
        )
    # The plain test may be in this session too; for everybody else this one is another.
    _rename(item, f"{near.nodeid}::{item.name}")
    return item


def _rename(item: Any, nodeid: str) -> None:
    # pytest computes it once, and has kept it as an object of its own since 9.2.
    if hasattr(item, "_id"):
        item._id = type(item._id).parse(nodeid)
    else:
        item._nodeid = nodeid


def _joined(names: Sequence[str]) -> list[str]:
    whole: list[str] = []
    for name in names:
        if whole and "[" in whole[-1]:
            whole[-1] += f"::{name}"
        else:
            whole.append(name)
    return whole


def _module(file: YamlFile, near: pytest.Collector, path: Path) -> pytest.Module:
    """A module node of its own for the file, in the folders that the session has collected: theirs are the fixtures."""
    folders = [node for node in near.listchain() if isinstance(node, pytest.Directory)]
    above = [node for node in folders if path.is_relative_to(node.path)]
    if not path.is_file() or not above:
        raise file.error(("test",), f"there is no file {path.name!r} at this place below pytest's root; correct it")
    node: pytest.Collector = above[-1]
    while node.path != path.parent:
        inner = [child for child in _collected(node) if isinstance(child, pytest.Directory)]
        node = next((child for child in inner if path.is_relative_to(child.path)), node)
        if not any(path.is_relative_to(child.path) for child in inner):
            raise file.error(("test",), f"pytest does not look into the folder of {path.name!r}; see norecursedirs")
    # What the folder's own hooks make of the file, where its conftest is loaded.
    _collected(node)
    made = node.session.gethookproxy(path).pytest_collect_file(file_path=path, parent=node)
    module = next((child for child in made if isinstance(child, pytest.Module)), None)
    if module is None:
        raise file.error(("test",), f"pytest does not collect {path.name!r}; name it as python_files says")
    return module


def _collected(folder: pytest.Collector) -> list[pytest.Item | pytest.Collector]:
    """What is in a folder, collected once for the whole session."""
    session = folder.session
    known = session._collection_cache.get(folder)
    report, _ = session._collect_one_node(folder)
    if known is None and not hasattr(session._fixturemanager, "_pending_conftests"):
        # A pytest that takes what was collected before for a second copy, and drops its tests.
        del session._collection_cache[folder]
    return list(report.result or ())


def _child(file: YamlFile, node: pytest.Collector, name: str) -> pytest.Item | pytest.Collector:
    report = collect_one_node(node)
    if not report.passed:
        lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
        raise file.error(("test",), f"{node.name} cannot be collected: {lines[-1] if lines else 'no reason given'}")
    children = {child.name: child for child in report.result}
    if name not in children:
        raise file.error(("test",), f"{node.name} has no {name!r}; correct it.{did_you_mean(name, children)}")
    return children[name]
