"""What durability costs, in counts that do not drift: flushes, bytes, modules."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / "benchmarks" / "durable" / "ours.py"


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library that counts flushes."""
    if shutil.which("cc") is None:
        assert "CI" not in os.environ, "no C compiler; .ci/run installs one"
        pytest.skip("no C compiler: install gcc and libc6-dev to count flushes")
    library = tmp_path_factory.mktemp("shim") / "slow_flush.so"
    source = ROOT / "benchmarks" / "slow_flush.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def run(shim, folder, steps, at_once):
    """Run ten-step tasks under the shim; return the flushes a step, those of opening and of one first task included."""
    counted = folder / "flushes"
    environment = {**os.environ, "LD_PRELOAD": str(shim), "SLOW_FLUSH_MS": "1", "SLOW_FLUSH_COUNT": str(counted)}
    command = [sys.executable, str(OURS), f"sqlite:///{folder}/tasks.db", str(steps), str(at_once)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    return int(counted.read_text()) / (steps + 10)


def test_a_step_flushes_once_for_its_result_and_the_next_intent_together(shim, tmp_path):
    assert run(shim, tmp_path, 200, 1) <= 1.2


def test_fifty_tasks_at_once_share_their_flushes(shim, tmp_path):
    assert run(shim, tmp_path, 2_000, 50) <= 0.1


def test_a_task_of_ten_steps_leaves_at_most_five_kilobytes(tmp_path):
    path = tmp_path / "tasks.db"
    subprocess.run(
        [sys.executable, str(OURS), f"sqlite:///{path}", "2000", "50"], check=True, capture_output=True, timeout=120
    )
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tasks = db.execute("SELECT count(*) FROM task").fetchone()[0]
    assert (tasks, path.stat().st_size / tasks <= 5 * 1024) == (201, True)


def test_importing_the_core_costs_at_most_three_times_pydantic():
    def cpu_s(module):
        code = f"import time; before = time.process_time(); import {module}; print(time.process_time() - before)"
        return min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5))

    assert cpu_s("agentfsm") <= 3 * cpu_s("pydantic, pydantic.main, pydantic.fields")
