"""The agent's process kills itself where its task is on a database server, and again while it recovers."""

import os
import tempfile
from pathlib import Path

import pytest

from pytest_agent.chaos.death import Deaths
from pytest_agent.invariants import Evidence, check_all

SCENARIO = Path(__file__).resolve().parents[3] / "scenarios" / "business_account.yaml"
KILLS = [(9,), (22,), (31,), (40,), (22, 1), (22, 5), (31, 2, 3)]


@pytest.fixture
def memory():
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def said(ending):
    return {name: ending.final[name] for name in ("outcome", "cause", "answer", "stored")}


def test_killed_once_twice_and_three_times_the_task_ends_as_if_nothing_had_happened(memory, postgres):
    with Deaths(SCENARIO, memory, database=postgres.fresh) as deaths:
        whole = deaths.run()
        endings = [deaths.run(*kills) for kills in KILLS]
        assert deaths.left() == []

    assert [tool for tool, _ in whole.effects] == ["accounts.open", "contracts.send"]
    assert whole.final["stored"]["task"]["fsm_state"] == "DONE"
    for ending in endings:
        assert ending.lives == 1 + len(ending.kills) == 1 + len(ending.died_at), ending.died_at
        assert ending.effects == whole.effects, ending.died_at
        assert said(ending) == said(whole), ending.died_at
        assert check_all(Evidence(ending.events, whole.events))[0] == [], ending.died_at
    assert not (memory / "whole" / "agent" / "tasks.db").exists()
