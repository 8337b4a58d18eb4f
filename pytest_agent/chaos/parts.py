"""What the parts of one test's search have found, handed in; the last of them makes the whole of it.

Each part appends one line to a file of the test. Who then finds that all are there and that the last one is its own
goes on with the whole search: shrinks, confirms and gives the verdict, as if nobody had divided it.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_agent.chaos.search.found import Found, Ran, merge
from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.state import Part, test_id
from pytest_agent.folder import folder_of
from pytest_agent.trace import plain


def hand_in(item: pytest.Item, part: Part, found: Found) -> Found | None:
    """Hand in a part. The whole, where this was the last one of it; None where others are still at it."""
    folder = folder_of(item.config)
    line = {"part": part.shard.number, "cut": found.cut, "runs": [_ran_to_dict(ran) for ran in found.runs]}
    folder.append_part(test_id(item), plain(line))
    lines = folder.parts(test_id(item))
    if len(lines) < part.shard.of or lines[-1]["part"] != part.shard.number:
        return None
    return merge(Found(tuple(map(_ran, line["runs"])), line["cut"]) for line in lines)


def _ran_to_dict(ran: Ran) -> dict[str, Any]:
    return {"order": list(ran.order), "phase": ran.phase, "observed": ran.observed.to_dict()}


def _ran(data: dict[str, Any]) -> Ran:
    first, second, third = data["order"]
    return Ran((first, second, third), data["phase"], Observed.from_dict(data["observed"]))
