"""The agent's process kills itself at every boundary it passes, and is started again until its task has ended."""

import os
import re
import signal
import tempfile
from pathlib import Path

import pytest

from pytest_agent.chaos.death import Deaths
from pytest_agent.errors import UsageError
from pytest_agent.invariants import Evidence, check_all
from pytest_agent.trace import EventDelivered, FaultApplied

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
LEAVES_ONE = """
import subprocess
from agentfsm.agents import support_refund

def build(**given):
    subprocess.Popen(["sleep", "600"])
    return support_refund.build(**given)
"""


@pytest.fixture
def memory():
    """A folder in memory where there is one: what a killed process has written survives there as on a disk."""
    memory = "/dev/shm"
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        yield Path(folder)


def said(ending):
    return {name: ending.final[name] for name in ("outcome", "cause", "answer", "stored")}


@pytest.mark.parametrize(
    ("name", "effects"),
    [("support_refund", ["payments.refund"]), ("business_account", ["accounts.open", "contracts.send"])],
)
def test_killed_at_any_boundary_the_agent_ends_as_if_nothing_had_happened(memory, name, effects):
    with Deaths(SCENARIOS / f"{name}.yaml", memory) as deaths:
        whole, *killed = deaths.sweep()

    assert [tool for tool, _ in whole.effects] == effects
    assert whole.lives == 1
    assert len(killed) == whole.final["passed"]
    assert len(killed) > 20
    for ending in killed:
        assert ending.lives == 2, ending.died_at
        assert ending.effects == whole.effects, ending.died_at
        assert said(ending) == said(whole), ending.died_at
        violations, _ = check_all(Evidence(ending.events, whole.events))
        assert violations == [], ending.died_at


def test_killed_at_any_boundary_under_faults_of_events_all_that_comes_is_taken_once(memory):
    faults = ["event-reordered@event:user.message", "event-unknown@event:user.message"]
    schedule = "; ".join([*faults, "event-duplicated@event:contract.signed"])
    came = ["callback-1", "callback-1", "message-1-stranger", "message-1", "callback-1"]
    with Deaths(SCENARIOS / "business_account.yaml", memory, schedule) as deaths:
        whole, *killed = deaths.sweep()

    assert len(killed) == whole.final["passed"]
    for ending in (whole, *killed):
        assert [event.event_id for event in ending.events if isinstance(event, EventDelivered)] == came, ending.died_at
        assert len([event for event in ending.events if isinstance(event, FaultApplied)]) == 3, ending.died_at
        assert [tool for tool, _ in ending.effects] == ["accounts.open", "contracts.send"], ending.died_at
        assert said(ending) == said(whole), ending.died_at
        assert ending.final["outcome"] == "success"
        assert check_all(Evidence(ending.events, whole.events))[0] == [], ending.died_at


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ("reply-lost@tool:payments.refund", "only faults at event sites act, not at tool; remove it"),
        ("event-duplicate@event:user.message", "unknown fault 'event-duplicate'. Did you mean 'event-duplicated'?"),
        ("event-duplicated@tool:payments.refund", "acts at event sites, not at tool; change the site"),
    ],
)
def test_a_schedule_that_real_death_cannot_take_is_refused_before_anything_runs(memory, schedule, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        Deaths(SCENARIOS / "support_refund.yaml", memory, schedule)


def test_the_boundaries_lie_before_and_after_every_commit_model_call_and_tool_call(memory):
    with Deaths(SCENARIOS / "support_refund.yaml", memory) as deaths:
        places = [deaths.run(kill_at).died_at[0] for kill_at in range(1, 10)]

    assert places == [
        "store:commit#1.before commit",
        "store:commit#1.after commit",
        "llm#1 asked",
        "llm#1 answered",
        "store:commit#2.before commit",
        "store:commit#2.after commit",
        "tool:orders.lookup#1 before-call",
        "tool:orders.lookup#1 after-effect",
        "tool:orders.lookup#1 replied",
    ]


def test_a_tool_that_does_not_dedupe_is_seen_to_pay_twice(memory):
    careless = (SCENARIOS / "support_refund.yaml").read_text().replace("idempotent: true", "idempotent: false")
    scenario = memory / "careless.yaml"
    scenario.write_text(careless)
    with Deaths(scenario, memory) as deaths:
        whole, *killed = deaths.sweep()

    paid_twice = [ending for ending in killed if len(ending.effects) == 2]
    assert {ending.died_at[0] for ending in paid_twice} == {
        "tool:payments.refund#1 after-effect",
        "tool:payments.refund#1 replied",
        "store:commit#5.before commit",
    }
    for ending in paid_twice:
        violations, _ = check_all(Evidence(ending.events, whole.events))
        assert "I1" in {violation.id for violation in violations}


def test_a_process_that_fails_by_itself_is_an_error_with_what_it_said(memory, capfd):
    broken = memory / "broken.yaml"
    shipped = (SCENARIOS / "support_refund.yaml").read_text()
    broken.write_text(shipped.replace("agentfsm.agents.support_refund", "json"))
    with Deaths(broken, memory) as deaths, pytest.raises(RuntimeError, match="ended by itself with 1"):
        deaths.run()
    assert "'json' has no function build" in capfd.readouterr().err


def test_a_scenario_that_cannot_be_read_is_refused_before_anything_runs(memory):
    broken = memory / "broken.yaml"
    broken.write_text("title: nothing else\n")
    with pytest.raises(UsageError, match=re.escape("broken.yaml:1")):
        Deaths(broken, memory)


def test_a_life_after_a_death_is_killed_too(memory):
    with Deaths(SCENARIOS / "support_refund.yaml", memory) as deaths:
        whole, killed = deaths.run(), deaths.run(14, 2, 1)

    assert (killed.kills, killed.lives, len(killed.died_at)) == ((14, 2, 1), 4, 3)
    assert (killed.effects, said(killed)) == (whole.effects, said(whole))


def test_a_process_that_a_life_leaves_behind_is_named(memory):
    """Its parent is dead, so that only its session tells where it came from."""
    (memory / "leaves_one.py").write_text(LEAVES_ONE)
    scenario = memory / "leaves.yaml"
    shipped = (SCENARIOS / "support_refund.yaml").read_text()
    scenario.write_text(shipped.replace("agentfsm.agents.support_refund", "leaves_one"))
    with Deaths(scenario, memory) as deaths:
        deaths.run(2)
        left = deaths.left()
        for process in left:
            os.kill(int(process.partition(" ")[0]), signal.SIGKILL)
    assert len(left) >= 2, "at least one of each life"
    assert all(" (sleep)" in process for process in left)
