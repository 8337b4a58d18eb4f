"""What one session leaves for the next: a search that was cut off goes on, and what broke a test is run first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]

HEAD = """
    import json, os, pathlib, signal
    import pytest, agents

    LOG = pathlib.Path(__file__).with_name("log.jsonl")
    DEADLY = pathlib.Path(__file__).with_name("deadly")

    def runs():
        return len(LOG.read_text().splitlines()) if LOG.exists() else 0

    def log():
        with LOG.open("a") as file:
            file.write("run" + chr(10))
"""
KILLED = (
    HEAD
    + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_one(llm, sandbox):
        log()
        if DEADLY.exists() and runs() == 12:
            os.kill(os.getpid(), signal.SIGKILL)
        agents.run("refund", agents.stock(llm, sandbox))
"""
)
FIXED_LATER = (
    HEAD
    + """
    @pytest.mark.chaos(faults=["stream-stall", "reply-lost"])
    @pytest.mark.parametrize("n", [1, 2])
    def test_one(llm, sandbox, n, request):
        log()
        agents.run("refund", agents.stock(llm, sandbox), keys=(pathlib.Path(__file__).parent / "fixed").exists())
"""
)


@pytest.fixture
def cached(project: pytest.Pytester) -> pytest.Pytester:
    """The project, with pytest's cache switched on."""
    ini = project.path / "tox.ini"
    ini.write_text(ini.read_text().replace("-p no:cacheprovider", ""))
    return project


def runs_of(project: pytest.Pytester) -> int:
    """How often the test's own function was entered since the last time."""
    log = project.path / "log.jsonl"
    count = len(log.read_text().splitlines()) if log.exists() else 0
    log.unlink(missing_ok=True)
    return count


def journals(project: pytest.Pytester) -> list[Path]:
    return list((project.path / ".pytest_cache" / "d" / "pytest-agent").glob("*.jsonl"))


def test_a_search_that_was_killed_goes_on_and_tells_what_killed_it(cached: pytest.Pytester, results: Results) -> None:
    cached.makepyfile(test_a=KILLED)
    cached.runpytest("--chaos").assert_outcomes(passed=1)
    whole = results()["test_one"]
    runs = len(whole["runs"])
    assert runs_of(cached) == runs + 3
    assert not journals(cached)

    (cached.path / "deadly").touch()
    killed = cached.runpytest_subprocess("--chaos")
    assert killed.ret == -9
    assert runs_of(cached) == 12
    assert len(journals(cached)) == 1
    # A line that was on its way when the process died is no trouble.
    with journals(cached)[0].open("a") as file:
        file.write('{"begun": "rep')
    (cached.path / "deadly").unlink()

    again = cached.runpytest("--chaos")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["process of the run: the process died under this schedule", "  replay: pytest *"])
    # Clean twice, the runs that were still missing, and the last one: neither those before nor the deadly one.
    assert runs_of(cached) == 2 + (runs - 10) + 1
    found = results()["test_one"]
    # Which faults are tried together depends on what each does alone.
    alone, before = ([run for run in result["runs"] if len(run["faults"]) == 1] for result in (found, whole))
    assert [run["schedule"] for run in alone] == [run["schedule"] for run in before]
    # The twelfth run is the tenth under a fault.
    deadly = alone.pop(9)
    assert [violation["id"] for violation in deadly["violations"]] == ["process"]
    del before[9]
    assert alone == before
    assert not journals(cached)


def test_a_session_that_was_killed_from_outside_blames_nobody(cached: pytest.Pytester, results: Results) -> None:
    cached.makepyfile(test_a=KILLED)
    cached.runpytest("--chaos").assert_outcomes(passed=1)
    before = [run for run in results()["test_one"]["runs"] if len(run["faults"]) == 1]
    runs_of(cached)
    (cached.path / "deadly").touch()
    assert cached.runpytest_subprocess("--chaos").ret == -9
    (cached.path / "deadly").unlink()
    # What its agent was killed under ends no process that is asked again.
    cached.runpytest("--chaos", "--chaos-confirm", "1").assert_outcomes(passed=1)
    found = results()["test_one"]
    assert found["passed"]
    assert not found["failures"]
    assert [run for run in found["runs"] if len(run["faults"]) == 1] == before


def test_a_changed_agent_is_searched_anew(cached: pytest.Pytester) -> None:
    cached.makepyfile(test_a=KILLED)
    (cached.path / "deadly").touch()
    assert cached.runpytest_subprocess("--chaos").ret == -9
    (cached.path / "deadly").unlink()
    runs_of(cached)
    with (cached.path / "agents.py").open("a") as file:
        file.write("# another agent\n")
    assert cached.runpytest_subprocess("--chaos").ret == 0
    assert runs_of(cached) > 30


def test_an_interrupted_search_is_not_blamed_on_the_run_that_was_on(cached: pytest.Pytester, results: Results) -> None:
    interrupted = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt")
    cached.makepyfile(test_a=interrupted)
    (cached.path / "deadly").touch()
    assert cached.runpytest_subprocess("--chaos").ret == 2
    assert runs_of(cached) == 12
    (cached.path / "deadly").unlink()
    cached.runpytest("--chaos").assert_outcomes(passed=1)
    assert runs_of(cached) == 2 + (len(results()["test_one"]["runs"]) - 9) + 1


def test_nothing_is_left_behind_without_a_cache(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=KILLED)
    project.runpytest("--chaos").assert_outcomes(passed=1)
    assert not (project.path / ".pytest_cache").exists()


def kept_of(project: pytest.Pytester) -> list[list[str]]:
    folder = project.path / ".pytest_cache" / "v" / "pytest-agent" / "kept"
    return [json.loads(path.read_text()) for path in sorted(folder.iterdir())] if folder.is_dir() else []


def order_of(project: pytest.Pytester) -> list[str]:
    """The schedules of all runs of the last session, by the trace of the one test."""
    (path,) = (project.path / ".pytest_agent" / "traces").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["schedule"] for line in lines if line["kind"] == "run_started"]


def test_what_broke_a_test_is_run_first_until_it_holds(cached: pytest.Pytester, results: Results) -> None:
    cached.makepyfile(test_a=FIXED_LATER.replace("[1, 2]", "[1]"))
    cached.runpytest("--chaos").assert_outcomes(failed=1)
    first = (cached.path / ".pytest_agent" / "results.json").read_bytes()
    assert order_of(cached)[2].startswith("stream-stall")
    assert kept_of(cached) == [["reply-lost@tool:refund#1"]]
    cached.runpytest("--chaos").assert_outcomes(failed=1)
    # First in the order of the runs, and not in the results.
    assert order_of(cached)[2] == "reply-lost@tool:refund#1"
    assert len(order_of(cached)) == len(set(order_of(cached))) + 2, "none twice but the clean one and the last one"
    assert (cached.path / ".pytest_agent" / "results.json").read_bytes() == first
    (cached.path / "fixed").touch()
    cached.runpytest("--chaos").assert_outcomes(passed=1)
    assert kept_of(cached) == [[]]


def test_workers_keep_what_broke_a_test(cached: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    cached.makepyfile(test_a=FIXED_LATER)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugins = ("-p", "xdist", "-p", "pytest_agent.plugin", "-c", "workers.ini", "--rootdir", ".", "-n", "2")
    (cached.path / "workers.ini").write_text("[pytest]\nfilterwarnings = error\nmarkers = xdist_group\n")
    cached.runpytest_subprocess("--chaos", "--chaos-confirm", "0", *plugins).assert_outcomes(failed=2, passed=2)
    assert kept_of(cached) == [["reply-lost@tool:refund#1"]] * 2
    assert not journals(cached)


def test_kept_schedules_that_nobody_knows_any_more_are_left_out(cached: pytest.Pytester) -> None:
    cached.makepyfile(test_a=FIXED_LATER.replace("[1, 2]", "[1]"))
    cached.runpytest("--chaos").assert_outcomes(failed=1)
    (path,) = (cached.path / ".pytest_cache" / "v" / "pytest-agent" / "kept").iterdir()
    for hostile in (
        ["no-such-fault@llm#1", "reply-lost@tool", 7, "reply-lost(after_s=1)@tool:refund#1"],
        {"a": 1},
        "x",
    ):
        path.write_text(json.dumps(hostile))
        cached.runpytest("--chaos").assert_outcomes(failed=1)
    assert kept_of(cached) == [["reply-lost@tool:refund#1"]]
