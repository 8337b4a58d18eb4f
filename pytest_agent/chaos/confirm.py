"""Confirm failures where the search has left no traces: in a fresh process that knows nothing but the replay line."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_agent.chaos.answers import Answers, ask, read_answers
from pytest_agent.chaos.death_verdict import PROCESS
from pytest_agent.chaos.fresh import FreshProcess
from pytest_agent.chaos.options import SearchOptions
from pytest_agent.chaos.search.failure import Confirmed
from pytest_agent.chaos.state import state_of
from pytest_agent.chaos.verdict import Verdict


def confirm_all(item: pytest.Item, failures: Sequence[Verdict]) -> dict[str, Confirmed]:
    """Confirm the ways in which a test breaks, one run of each, as often as the session asks for."""
    run_s = state_of(item).explored_s / max(len(failures), 1)
    return confirm(item, failures, SearchOptions.of(item.config).confirm, run_s=run_s)


def confirm(item: pytest.Item, failures: Sequence[Verdict], times: int, *, run_s: float) -> dict[str, Confirmed]:
    """Replay each failure `times` in one process; the result by its schedule.

    `run_s` is how long a run took in this process, in real seconds: the fresh one gets ten times that for each, and a
    minute to start. A failure that ends the process is one that fails as it should where the search found that; the
    rest is then asked of another process. Raises nothing: what could not be replayed says why.
    """
    asked = [failure.schedule for failure in failures for _ in range(times)]
    if not asked:
        return {}
    fresh = FreshProcess.of(item)
    found: list[tuple[str, ...]] = []
    why = ""
    while len(found) < len(asked) and not why:
        left = asked[len(found) :]
        answers, why = _ask(fresh, left, 60 + 10 * run_s * (len(left) + 2))
        found += answers.ids
        if answers.died and not why:
            found.append((PROCESS,))
    results = {}
    for number, failure in enumerate(failures):
        replays = found[number * times : (number + 1) * times]
        same = sum(ids[:1] == failure.ids[:1] for ids in replays)
        results[failure.schedule] = Confirmed(same, len(replays), why if len(replays) < times else "")
    return results


def _ask(fresh: FreshProcess, schedules: Sequence[str], limit_s: float) -> tuple[Answers, str]:
    """What one process answers, and why it can be asked for no more; empty where it has died of a run."""
    with tempfile.TemporaryDirectory(prefix="pytest-agent-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        ask(folder, schedules)
        ended = fresh.run(schedules[0], folder, limit_s)
        answers = read_answers(folder)
        if len(answers.ids) == len(schedules) or (answers.died and not ended.late):
            return answers, ""
        return answers, answers.broke or ended.how
