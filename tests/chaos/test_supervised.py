"""Runs in a process that may die: what ends it is found with its schedule, and the search goes on."""

from __future__ import annotations

import fnmatch
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]
Fresh = Callable[..., pytest.RunResult]

HEAD = """
    import ctypes, os, subprocess, threading
    from concurrent.futures import ThreadPoolExecutor
    import pytest, agents

    FAULTS = ["insufficient-quota", "stream-clean-eof"]
    started = []

    def answer(llm, on_refusal=lambda: None):
        llm.says("Hello.")
        try:
            return agents.careful([{"role": "user", "content": "Hi"}])[0]
        except agents.Refused:
            on_refusal()
            raise

    def blocks():
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    def spins():
        while True:
            pass
"""
AGENTS = (
    HEAD
    + """
    def spawns():
        started.append(subprocess.Popen(["sleep", "1000"]))
        # One that nobody knows any more: its parent is gone, and it has left the session.
        subprocess.run("sleep 999 >&- 2>&- &", shell=True, start_new_session=True)

    WAYS = {
        "correct": lambda: None,
        "exits": lambda: os._exit(3),
        "is_killed": lambda: os.kill(os.getpid(), 9),
        "crashes": lambda: ctypes.string_at(0),
        "eats": lambda: started.append(b"x" * 300_000_000),
        "blocks": blocks,
        "spins": spins,
        "blocks_in_a_thread": lambda: threading.Thread(target=blocks).start(),
        "spawns": spawns,
    }

    @pytest.mark.parametrize("way", list(WAYS))
    @pytest.mark.chaos(faults=FAULTS)
    def test_agent(llm, way):
        answer(llm, WAYS[way])
"""
)
OPTIONS = ("--chaos", "--chaos-supervised", "--chaos-memory", "64", "--chaos-hang", "2")
FOUND = {
    "exits": ("process", "the process ended with code 3, under this schedule"),
    "is_killed": ("process", "the process ended by SIGKILL, under this schedule"),
    "crashes": ("process", "the process ended by SIGSEGV, at test_it.py:*, under this schedule"),
    "eats": ("memory", "the process grew by more than 64 MB, under this schedule"),
    "blocks": ("hang", "no end within 2 s of real time, at test_it.py:19 in blocks, under this schedule"),
    "spins": ("hang", "no end within 2 s of real time, at test_it.py* in spins, under this schedule"),
    "blocks_in_a_thread": ("threads", "left 1 thread: a thread at test_it.py:19 in blocks, under this schedule"),
    "spawns": ("children", "left 2 processes: sleep 1000, sleep 999, under this schedule"),
}


def test_each_way_to_end_a_run_is_found_and_the_search_goes_on(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(test_it=AGENTS)
    project.runpytest(*OPTIONS).assert_outcomes(passed=1, failed=len(FOUND))
    found = {name.removeprefix("test_agent[").removesuffix("]"): result for name, result in results().items()}
    correct = found.pop("correct")
    assert correct["passed"]
    assert {run["verdict"] for run in correct["runs"]} == {"degraded", "survived"}
    assert set(found) == set(FOUND)
    for way, result in found.items():
        assert result["complete"]
        (failure,) = result["failures"]
        assert failure["schedule"] == "insufficient-quota@llm#1"
        ((broken, _),) = [(run, twin) for run, twin in zip(result["runs"], correct["runs"], strict=True) if run != twin]
        (violation,) = broken["violations"]
        id_, headline = FOUND[way]
        assert violation["id"] == id_
        assert fnmatch.fnmatchcase(violation["headline"], headline)
        assert any("FAULT insufficient-quota" in line for line in failure["timeline"])
        assert failure["replay"].endswith("--chaos-supervised --chaos-memory 64 --chaos-hang 2")


def test_two_sessions_give_the_same_bytes_with_workers_and_without(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(test_it=AGENTS)
    kept = project.path / ".pytest_agent" / "results.json"
    found = []
    for more in ((), ("-n", "2")):
        chosen = ("-k", "correct or crashes or eats or in_a_thread or spawns")
        result = fresh(*OPTIONS, *chosen, *more, plugins=("pytest_agent.plugin", "xdist.plugin"))
        result.assert_outcomes(passed=1, failed=4)
        found.append(kept.read_bytes())
    assert found[0] == found[1]


def test_what_is_found_is_confirmed_in_a_fresh_process_that_is_supervised_too(
    project: pytest.Pytester, results: Results
) -> None:
    project.makepyfile(test_it=AGENTS)
    project.runpytest(*OPTIONS, "--chaos-confirm", "1", "-k", "eats or in_a_thread")
    confirmed = [failure["confirmed"] for result in results().values() for failure in result["failures"]]
    assert [(one["failed"], one["of"]) for one in confirmed] == [(1, 1)] * 2


def test_results_are_those_of_runs_in_the_same_process(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
    import pytest, agents

    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_held(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))

    @pytest.mark.chaos(faults=agents.FAULTS)
    async def test_breaks(llm, sandbox, tmp_path, capfd):
        agents.run("refund", agents.stock(llm, sandbox, idempotent=False), keys=False)
        assert not capfd.readouterr().out
    """
    )
    kept = project.path / ".pytest_agent" / "results.json"
    project.runpytest("--chaos").assert_outcomes(passed=1, failed=1)
    plain = kept.read_bytes()
    project.runpytest("--chaos", "--chaos-supervised").assert_outcomes(passed=1, failed=1)
    assert kept.read_bytes() == plain


def test_a_replay_of_what_ends_the_process_does_not_end_pytest(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=AGENTS)
    line = ("--chaos-replay", "insufficient-quota@llm#1", "--chaos-supervised", "-k", "exits or correct")
    result = project.runpytest(*line)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["process of the run: the process ended with code 3, under this schedule"])


def test_a_clean_run_that_ends_the_process_fails_its_test_alone(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        test_it=HEAD
        + """
    @pytest.mark.chaos(faults=FAULTS, supervised=True)
    def test_dies(llm):
        print("my last words", flush=True)
        os._exit(7)

    @pytest.mark.chaos(faults=FAULTS, supervised=True)
    def test_next(llm):
        answer(llm)

    @pytest.mark.chaos(faults=FAULTS, supervised=True, expect_failure="it dies when it is refused")
    def test_expected(llm):
        answer(llm, lambda: os._exit(3))

    @pytest.mark.chaos(faults=FAULTS, supervised=True)
    def test_that_fails_by_itself(llm):
        assert answer(llm) == "Bye."
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(passed=1, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(
        ["process of the run: the process ended with code 7, without any fault", "  printed: my last words"]
    )
    result.stdout.fnmatch_lines(["*assert 'Hello.' == 'Bye.'"])
    assert set(results()) == {"test_next", "test_expected"}


def test_wider_fixtures_are_of_the_session_and_made_once(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it=HEAD
        + """
    @pytest.fixture(scope="session")
    def server():
        with open("log", "a") as log:
            log.write("up ")
        process = subprocess.Popen(["sleep", "1000"])
        yield process
        assert process.poll() is None
        process.kill()
        process.wait()
        with open("log", "a") as log:
            log.write("down ")

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.chaos(faults=FAULTS, supervised=True, expect_failure="it dies when it is refused")
    def test_it(llm, server, number):
        answer(llm, lambda: os._exit(3))
    """
    )
    project.runpytest("--chaos").assert_outcomes(xfailed=2)
    assert (project.path / "log").read_text() == "up down "


def test_what_an_agent_keeps_for_its_next_task_is_no_remains(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        test_it=HEAD
        + """
    pool = ThreadPoolExecutor(2)
    never = threading.Event()
    beating = []

    def beat():
        never.wait()

    def ends_soon():
        process = subprocess.Popen(["sleep", "1000"])
        process.terminate()
        started.append(process)

    @pytest.mark.chaos(faults=FAULTS, supervised=True)
    def test_it(llm):
        pool.submit(int).result()
        if not beating:
            beating.append(threading.Thread(target=beat, daemon=True))
            beating[0].start()
        answer(llm, ends_soon)

    @pytest.mark.chaos(faults=FAULTS, supervised=True)
    def test_under_a_fault_only(llm):
        answer(llm, threading.Thread(target=beat, daemon=True).start)
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1, failed=1)
    found = results()
    assert found["test_it"]["passed"]
    (failure,) = found["test_under_a_fault_only"]["failures"]
    assert failure["ids"] == ["threads"]
    assert "a daemon thread at test_it.py:" in failure["violations"][0]["text"]


@pytest.mark.parametrize("way", ["interrupted", "killed"])
def test_nothing_is_left_of_a_session_that_is_ended(project: pytest.Pytester, way: str) -> None:
    project.makepyfile(
        test_it=HEAD
        + """
    def hangs():
        hold = int(os.environ["HOLD"])
        subprocess.run("sleep 1000 &", shell=True, start_new_session=True, pass_fds=[hold])
        os.write(hold, b"started")
        blocks()

    @pytest.mark.chaos(faults=FAULTS, supervised=True)
    def test_it(llm):
        answer(llm, hangs)
    """
    )
    # All that the session starts holds the end of this pipe: it is closed when the last of them is gone.
    seen, hold = os.pipe()
    os.set_inheritable(hold, True)
    environment = {**os.environ, "HOLD": str(hold)}
    command = [sys.executable, "-m", "pytest", "--chaos", "-p", "no:xdist"]
    process = subprocess.Popen(
        command, env=environment, pass_fds=[hold], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=project.path
    )
    os.close(hold)
    try:
        assert _read(seen) == b"started"
        process.send_signal(signal.SIGINT if way == "interrupted" else signal.SIGKILL)
        assert _read(seen) == b""
    finally:
        os.close(seen)
        process.kill()
        printed, _ = process.communicate()
    assert (b"KeyboardInterrupt" in printed) == (way == "interrupted")


def _read(number: int) -> bytes:
    ready, _, _ = select.select([number], [], [], 60)
    assert ready, "nothing within a minute"
    return os.read(number, 100)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--chaos-supervised", "--pdb"], "--pdb and supervised runs: a debugger does not reach the process*"),
        (["--pdb"], "*test_it: @pytest.mark.chaos: --pdb and supervised runs: a debugger does not*"),
        (["--chaos-supervised", "--chaos-memory", "0"], "--chaos-memory: 0 MB is no limit; give 1 or more"),
        (["--chaos-supervised", "--chaos-hang", "nan"], "--chaos-hang: nan is no time to wait; give seconds above 0"),
    ],
)
def test_what_cannot_be_is_refused_before_any_test_runs(
    project: pytest.Pytester, options: list[str], said: str
) -> None:
    project.makepyfile(
        test_it=HEAD
        + """
    @pytest.mark.chaos(faults=FAULTS, supervised=True)
    def test_it(llm):
        answer(llm)
    """
    )
    result = project.runpytest("--chaos", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_a_system_without_fork_is_told_so(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makepyfile("def test_it(llm): pass")
    monkeypatch.delattr(os, "fork")
    result = project.runpytest("--chaos", "--chaos-supervised")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: supervised runs need os.fork*"])


def test_the_trace_of_a_run_goes_on_where_the_last_one_ended(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=AGENTS)
    project.runpytest(*OPTIONS, "-k", "exits")
    (trace,) = (project.path / ".pytest_agent" / "traces").iterdir()
    events = [json.loads(line) for line in trace.read_bytes().splitlines()]
    schedules = [event["schedule"] for event in events if event["kind"] == "run_started"]
    # The clean run first, each schedule once, and the last one, which only tells.
    assert schedules[0] == schedules[-1] == ""
    assert len(schedules[1:-1]) == len(set(schedules[1:-1])) > 3
