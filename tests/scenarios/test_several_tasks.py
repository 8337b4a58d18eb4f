"""Several tasks in one scenario: one store, one world, conversations of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_agent.chaos.death import Deaths
from pytest_agent.errors import UsageError

FOLDER = Path(__file__).parents[2] / "scenarios"
SHIPPED = (FOLDER / "support_refund.yaml").read_text()
TURNS = "[{call: {orders.lookup: {order: 7}}}, {call: {payments.refund: {order: 7, amount: 5}}}, {text: Done.}]"
WORLD = "[{tool: payments.refund, arguments: {order: 7, amount: 5}}]"
TWO = f"{SHIPPED}then:\n  - {{id: b, task: Refund 5 of order 7, model: {TURNS}, world: {WORLD}}}\n".replace(
    "  - {tool: payments.refund, count: 1}\n", ""
)

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(project: pytest.Pytester) -> Run:
    """Run pytest on one scenario."""
    (project.path / "scenarios").mkdir()

    def go(text: str, *options: str) -> pytest.RunResult:
        (project.path / "scenarios" / "one.yaml").write_text(text)
        return project.runpytest("-o", "agent_scenarios=scenarios", "scenarios", *options)

    return go


def test_each_task_is_one_of_its_own_over_the_same_world(run: Run) -> None:
    run(TWO).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((WORLD, WORLD.replace("5}", "6}")), "one.yaml:24 then[0].world[0]: found 0 time(s) on the ledger, expected "),
        # The same on what comes first, and whatever the outcome.
        (("count: 1", "count: 2"), "one.yaml:19 world[0]: found 1 time(s) on the ledger, expected payments.refund("),
    ],
)
def test_a_world_that_is_another_is_told_in_one_line(run: Run, change: tuple[str, str], said: str) -> None:
    assert change[0] in TWO
    result = run(TWO.replace(*change))
    result.assert_outcomes(failed=1)
    assert any(line.startswith(f"scenarios/{said}") for line in result.stdout.lines)


def test_the_world_of_a_task_that_fails_is_checked_too(run: Run) -> None:
    text = (FOLDER / "account_refused.yaml").read_text()
    run(text).assert_outcomes(passed=1)
    result = run(text.replace("{tool: accounts.open, count: 1}", "{tool: accounts.open, count: 0}"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["scenarios/one.yaml:* world[[]0[]]: found 1 time(s) on the ledger, expected *"])


@pytest.mark.parametrize("fault", ["crash-around-commit", "insufficient-quota", "reply-lost"])
def test_a_task_that_a_fault_ends_early_leaves_the_next_one_whole(
    run: Run, results: Callable[[], dict[str, Any]], fault: str
) -> None:
    run(f"{TWO}faults: [{fault}]\n", "--chaos").assert_outcomes(passed=1)
    runs = results()["one"]["runs"]
    assert {one["verdict"] for one in runs} <= {"survived", "degraded"}
    # The sites of both tasks are those of one run.
    assert len({one["schedule"] for one in runs}) == len(runs) > 2


def test_a_turn_that_a_task_leaves_over_is_not_heard_by_the_next(run: Run) -> None:
    turn = "  - text: Order 7 is refunded. 20 EUR are on their way back to you.\n"
    result = run(TWO.replace(turn, f"{turn}  - text: And more.\n"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the script has 4 turn(s) and the agent asked for 3; never asked for: 'And more.'*"])


def test_real_death_is_for_one_task(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    told = "two.yaml:23 then: real death is for one task; give it a scenario of its own"
    with pytest.raises(UsageError, match=re.escape(told)):
        Deaths(tmp_path / "two.yaml", tmp_path)
