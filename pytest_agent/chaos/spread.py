"""One test's search on several workers of xdist: each does a part of it, as an item of its own.

Each part repeats the clean run and the run for the record, and the last one to end shrinks what all have found. That
pays where there are too few tests to keep the workers busy. So nothing is divided where there are twice as many chaos
tests as workers, nor where xdist keeps what belongs together on one worker: by group, file or scope.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pytest_agent.chaos.known_here import TODAY, today_of
from pytest_agent.chaos.search.bounds import LANES, Shard
from pytest_agent.chaos.state import PART, Part, group_of, test_id

_INPUT = "pytest_agent_spread"
_APART = ("load", "loadgroup", "worksteal")
"""The ways of xdist to hand out tests in which those of one file may be on several workers."""


def tell_worker(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """In the controller: what a worker has to know, so that all of them collect the same tests on the same day."""
    apart = config.getoption("dist", "no") in _APART and not config.getoption("chaos_shard")
    workerinput[_INPUT] = min(int(workerinput["workercount"]), LANES) if apart else 1
    workerinput[TODAY] = today_of(config).isoformat()


def spread(config: pytest.Config, marked: Collection[pytest.Item], items: list[pytest.Item]) -> None:
    """Put the parts of a test in the place of each chaos test that is to be divided."""
    of = int(getattr(config, "workerinput", {}).get(_INPUT, 1))
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    divided = [item for item in items if item in marked]
    if of == 1 or len(divided) >= 2 * workers:
        return
    for item in divided:
        if isinstance(item, pytest.Function) and not group_of(item):
            at = items.index(item)
            items[at : at + 1] = [_clone(item, Shard(number, of)) for number in range(1, of + 1)]


def _clone(item: pytest.Function, shard: Shard) -> pytest.Function:
    clone: pytest.Function = type(item).from_parent(
        item.parent,
        name=item.name,
        callspec=getattr(item, "callspec", None),
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,
        keywords=item.keywords,
        originalname=item.originalname,
    )
    # Its name stays: what a test reads of itself must not depend on how many workers there are.
    _name(clone, f"{item.nodeid}[{shard.number}/{shard.of} of the search]")
    clone.own_markers[:] = item.own_markers
    clone.user_properties[:] = item.user_properties
    clone.stash[PART] = Part(test_id(item), shard)
    return clone


def _name(item: Any, nodeid: str) -> None:
    """Give an item an id of its own. pytest offers no way: since 9.2 an id is an object, and was a text before."""
    if hasattr(item, "_id"):
        item._id = type(item._id).parse(nodeid)
    else:
        item._nodeid = nodeid
