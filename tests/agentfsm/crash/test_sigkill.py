"""SIGKILL at every boundary of a worker, on both stores: no effect twice, nothing lost, nothing stuck."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("child.py")
SPAN = 6
"""How many boundaries one test kills at: the sweep is spread over tests, and over workers."""
MOST = 36


def live(url: str, folder: Path, kill_at: int) -> int:
    """One life of the worker; 0 where it came to its end, else minus the signal that ended it."""
    done = subprocess.run(
        [sys.executable, str(CHILD), url, str(folder), str(kill_at)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


def lives(url: str, folder: Path, kill_at: int) -> dict:
    """Die at one boundary, start again, and go on to the end."""
    died = live(url, folder, kill_at)
    if died:
        assert live(url, folder, 0) == 0
    return {**json.loads((folder / "ended").read_text()), "died": bool(died)}


def effects(folder: Path) -> collections.Counter:
    path = folder / "world"
    return collections.Counter(path.read_text().split()[::2]) if path.exists() else collections.Counter()


@pytest.mark.parametrize("first", range(1, MOST, SPAN))
def test_a_worker_that_is_killed_anywhere_repeats_no_effect_and_loses_nothing(crash_url, tmp_path, first):
    died = []
    for kill_at in range(first, first + SPAN):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        ended = lives(crash_url(folder), folder, kill_at)
        died.append(ended["died"])
        happened = effects(folder)
        assert (happened["send"], happened["ask"]) == (1, 1), (kill_at, ended)
        assert happened["pay"] <= 1, (kill_at, ended)
        assert ended["versions"] == list(range(1, ended["version"] + 1)), (kill_at, ended)
        if ended["outcome"] == "unknown":
            # Only the unsafe effect may be unknown, and only where it was under way.
            assert ["pay", "in_doubt"] in [step[2:] for step in ended["steps"]], (kill_at, ended)
            assert ended["state"] == "WAITING_EXTERNAL"
        else:
            assert (ended["outcome"], happened["pay"]) == ("success", 1), (kill_at, ended)
    assert first > 1 or all(died)  # the first boundaries are reached by every run


def test_the_sweep_covers_every_boundary(crash_url, tmp_path):
    assert live(crash_url(tmp_path), tmp_path, 0) == 0
    passed = (tmp_path / "passed").read_text().splitlines()
    assert len(passed) <= MOST
    kinds = {"before commit", "after commit", "before claim", "after claim", "before event", "after event"}
    assert kinds | {f"{when} effect {tool}" for when in ("before", "after") for tool in ("send", "ask", "pay")} <= set(
        passed
    )
