"""What of a search is put on record: in one order, whoever did which part, with the traces of what broke."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_agent.chaos.ratchet import Ratchet
from pytest_agent.chaos.search.bounds import Shard
from pytest_agent.chaos.search.order import CanonicalOrder
from pytest_agent.chaos.state import PART, test_id
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.folder import folder_of
from pytest_agent.report.parts import parts_of, unite
from pytest_agent.trace import dump_line


def in_order(verdicts: Sequence[Verdict], order: CanonicalOrder) -> list[Verdict]:
    """Each schedule once, in canonical order."""
    once = {verdict.schedule: verdict for verdict in reversed(verdicts)}
    return sorted(once.values(), key=lambda verdict: order.key(verdict.schedule))


def put_on_record(
    item: pytest.Item,
    result: dict[str, Any],
    verdicts: Sequence[Verdict],
    *,
    shard: Shard,
    order: CanonicalOrder,
    ratchet: Ratchet,
) -> None:
    """Append a test's result, or that of its part, with what is known of its failures, and write their traces."""
    folder = folder_of(item.config)
    by_schedule = {verdict.schedule: verdict for verdict in verdicts}
    for failure in result["failures"]:
        verdict = by_schedule[failure["schedule"]]
        failure["known"] = ratchet.reason_for(verdict)
        failure["trace"] = folder.write_failure(result["test"], verdict.schedule, map(dump_line, verdict.events))
    line = {**result, "known": ratchet.to_list(), "shard": None}
    if PART in item.stash:
        line["part"] = [shard.number, shard.of]
        line["order"] = {schedule: order.key(schedule) for schedule in by_schedule}
    elif not shard.is_whole:
        line["shard"] = str(shard)
    folder.append_result(line)


def runs_that_held(item: pytest.Item, shard: Shard) -> int | None:
    """How many runs the whole search had, where it is over, all of them held, and this item is to say so.

    None otherwise. Of the parts of a test the one that was on record last is to say so: it is the first to know. One
    part alone, asked for by --chaos-shard, cannot know.
    """
    lines = [line for line in folder_of(item.config).lines() if line["test"] == test_id(item)]
    if PART in item.stash:
        parts = parts_of(lines)
        if len(parts) < shard.of or next(reversed(parts)) != shard.number:
            return None
    elif not shard.is_whole:
        return None
    (result,) = unite(lines)
    return len(result["runs"]) if result["complete"] and not result["failures"] else None
