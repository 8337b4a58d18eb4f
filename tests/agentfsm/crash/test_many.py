"""SIGKILL around and inside the statement that writes many commits: each of them is there whole, or not at all."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("many.py")
INSIDE = {"before many", "in many", "after many"}


def live(url: str, folder: Path, kill_at: int) -> int:
    """One life of the worker; 0 where it came to its end, else minus the signal that ended it."""
    done = subprocess.run(
        [sys.executable, str(CHILD), url, str(folder), str(kill_at)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_many_tasks_whose_worker_is_killed_in_their_statement_repeat_no_effect_and_lose_nothing(
    crash_url, tmp_path, first
):
    where = set()
    for kill_at in range(first, 20, 4):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        url = crash_url(folder)
        if live(url, folder, kill_at):
            where.add((folder / "passed").read_text().splitlines()[-1])
            assert live(url, folder, 0) == 0
        happened = collections.Counter((folder / "world").read_text().splitlines())
        assert set(happened.values()) == {1}, (kill_at, happened)
        effects = collections.Counter(line.split()[0] for line in happened)
        assert (effects["send"], effects["ask"]) == (8, 8), (kill_at, effects)
        for name, (outcome, version, versions, statuses) in json.loads((folder / "ended").read_text()).items():
            assert versions == list(range(1, version + 1)), (kill_at, name)
            unknown = outcome == "unknown" and "in_doubt" in statuses  # the unsafe effect may have been under way
            assert outcome == "success" or unknown, (kill_at, name, outcome, statuses)
            assert "pending" not in statuses, (kill_at, name)
    assert where & INSIDE


def test_every_place_is_reached(crash_url, tmp_path):
    assert live(crash_url(tmp_path), tmp_path, 0) == 0
    passed = collections.Counter((tmp_path / "passed").read_text().splitlines())
    assert set(passed) >= INSIDE
    assert passed.total() >= 9
