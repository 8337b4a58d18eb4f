"""How a chaos test is run many times: fresh fixtures, kept fixtures, order, what counts as its result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Results = Callable[[], dict[str, dict[str, Any]]]

HEAD = """
    import json, pathlib, sys
    import pytest, agents
    from pytest_agent import call

    LOG = pathlib.Path(__file__).with_name("log.jsonl")

    def log(*words):
        with LOG.open("a") as file:
            file.write(json.dumps(words) + chr(10))
"""

COUNTED = """
    @pytest.fixture(scope="session", autouse=True)
    def session():
        log("session", "up")
        yield
        log("session", "down")

    @pytest.fixture(scope="module", autouse=True)
    def module(session):
        log("module", "up")
        yield
        log("module", "down")

    @pytest.fixture
    def fresh(module):
        box = []
        log("function", "up")
        yield box
        log("function", "down", len(box))
"""


def log_of(project: pytest.Pytester) -> list[list[Any]]:
    """What the fixtures and tests of the inner session wrote."""
    path = Path(project.path / "log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_without_the_option_it_runs_once_and_clean(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_one(llm, sandbox):
        log("run")
        assert agents.run("refund", agents.stock(llm, sandbox)) == "Refunded."
    """
    )
    result = project.runpytest()
    result.assert_outcomes(passed=1)
    assert log_of(project) == [["run"]]
    result.stdout.no_fnmatch_line("*= chaos =*")
    assert not (project.path / ".pytest_agent" / "results.json").exists()


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_function_fixtures_are_fresh_and_wider_ones_made_once(
    project: pytest.Pytester, results: Results, place: str
) -> None:
    chaos = """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_chaos(llm, sandbox, fresh):
        assert fresh == []
        fresh.append(1)
        agents.run("refund", agents.stock(llm, sandbox))
    """
    plain = """
    def test_plain_NAME(fresh):
        assert fresh == []
        log("plain")
    """
    before, after = plain.replace("NAME", "a"), plain.replace("NAME", "b")
    body = {"first": chaos + before + after, "middle": before + chaos + after, "last": before + after + chaos}[place]
    project.makepyfile(test_one=HEAD + COUNTED + body, test_two=HEAD + "\n    def test_other():\n        log('other')")
    project.runpytest("--chaos").assert_outcomes(passed=4)
    log = log_of(project)
    runs = len(results()["test_chaos"]["runs"])
    assert runs > 20
    # Clean twice, each schedule, once more for the record; and the two plain tests.
    assert log.count(["function", "up"]) == runs + 3 + 2
    assert log.count(["function", "down", 1]) == runs + 3
    assert log.count(["function", "down", 0]) == 2
    # Up and down in turns: nothing of one run is there in the next.
    turns = [words[1] for words in log if words[0] == "function"]
    assert turns == ["up", "down"] * (runs + 5)
    for scope in ("module", "session"):
        assert log.count([scope, "up"]) == log.count([scope, "down"]) == 1
    assert log.index(["module", "down"]) < log.index(["other"]) < log.index(["session", "down"])


def test_teardown_of_the_last_test_of_all(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + COUNTED
        + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_chaos(llm, sandbox, fresh):
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    assert log_of(project)[-2:] == [["module", "down"], ["session", "down"]]


def test_every_boundary_is_swept(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_one(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))

    @pytest.mark.chaos(faults=["transport.stream-clean-eof"])
    def test_two(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=2)
    found = results()
    schedules = [run["schedule"] for run in found["test_one"]["runs"]]
    assert len(schedules) == len(set(schedules))
    # Seven events in the first turn and four in the second: one cut before each of them and its terminal one.
    for site, terminal in (("llm#1", 6), ("llm#2", 3)):
        for after in range(terminal):
            named = f"stream-clean-eof(after={after})@{site}".replace("(after=3)", "")
            assert named in schedules, schedules
    assert "reply-lost@tool:refund#1" in schedules
    assert {run["faults"][0] for run in found["test_two"]["runs"]} == {"stream-clean-eof", "stream-without-done"}


def test_classes_parameters_and_several_files(project: pytest.Pytester, results: Results) -> None:
    text = (
        HEAD
        + """
    @pytest.mark.chaos(faults="reply-lost")
    class TestRefund:
        made = 0

        def setup_method(self):
            assert not hasattr(self, "mine")
            self.mine = 1
            type(self).made += 1

        @pytest.mark.parametrize("amount", [20, 30], ids=["small", "a [big] one; or 'two'"])
        def test_amount(self, llm, sandbox, amount):
            tools = agents.stock(llm, sandbox)
            assert agents.run(f"refund {amount}", tools) == "Refunded."
            assert self.mine == 1
    """
    )
    project.makepyfile(test_a=text, test_b=text)
    project.runpytest("--chaos").assert_outcomes(passed=4)
    assert len(json.loads((project.path / ".pytest_agent/results.json").read_text())["tests"]) == 4
    assert {len(result["runs"]) for result in results().values()} == {4}


def test_what_outlives_a_run_is_made_in_the_real_world(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    import random, time

    @pytest.fixture(scope="module")
    def server():
        assert time.monotonic.__module__ == "time"
        assert abs(time.time() - START) < 60
        random.seed(1)
        yield time.monotonic()
        assert time.monotonic.__module__ == "time"
        log("undone in the real world")

    START = time.time()

    @pytest.fixture
    def early(server):
        assert time.monotonic.__module__ != "time"
        yield random.random()
        assert time.monotonic.__module__ != "time"
        log("undone in virtual time")

    @pytest.mark.chaos(faults="reply-lost")
    def test_one(early, llm, sandbox):
        log(early, random.random())
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=1)
    log = log_of(project)
    assert log[-1] == ["undone in the real world"]
    numbers = {tuple(words) for words in log if isinstance(words[0], float)}
    # The first run, in which the server was made, drew the same numbers as all later ones.
    assert len(numbers) == 1
    assert log.count(["undone in virtual time"]) == 7


@pytest.mark.parametrize("options", [(), ("--chaos",)], ids=str)
def test_other_plugins_see_the_real_world_between_phases(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    project.makeconftest(
        """
    import asyncio, random, socket, time
    import pytest

    START, MONOTONIC, CONNECT = time.time(), time.monotonic(), socket.socket.connect

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport():
        assert 0 <= time.time() - START < 60
        assert 0 <= time.monotonic() - MONOTONIC < 60
        assert socket.socket.connect is CONNECT
        loop = asyncio.new_event_loop()
        assert type(loop).__module__.startswith("asyncio")
        loop.close()
        return (yield)
    """
    )
    project.makepyfile(
        HEAD
        + """
    import time
    from time import sleep

    @pytest.mark.chaos(faults="reply-lost")
    def test_one(llm, sandbox):
        sleep(3600)
        agents.run("refund", agents.stock(llm, sandbox))

    def test_after():
        assert sleep.__module__ == time.sleep.__module__ == time.monotonic.__module__ == "time"
    """
    )
    project.runpytest(*options, "-p", "no:randomly").assert_outcomes(passed=2)


def test_random_numbers_follow_the_seed_and_not_pytest_randomly(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    import random

    @pytest.fixture
    def early():
        return random.random()

    def test_one(llm, early):
        log(early, random.random())
    """
    )
    for options in (
        [],
        ["-o", "addopts=-p no:cacheprovider", "-p", "randomly", "--randomly-seed=1"],
        ["--chaos-seed", "7"],
    ):
        project.runpytest(*options).assert_outcomes(passed=1)
    first, second, third = (tuple(words) for words in log_of(project))
    assert first == second
    assert third != first
    assert first[0] != first[1]


def test_several_warnings_are_told_once(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    import warnings

    @pytest.mark.chaos(faults="reply-lost")
    def test_one(llm, sandbox):
        warnings.warn("old", DeprecationWarning)
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    result = project.runpytest("--chaos", "-W", "always::DeprecationWarning")
    result.assert_outcomes(passed=1, warnings=1)


def test_output_is_that_of_the_last_run(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    RUNS = []

    @pytest.mark.chaos(faults="reply-lost")
    def test_one(llm, sandbox):
        RUNS.append(1)
        print("run number", len(RUNS))
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    result = project.runpytest("--chaos", "-rP")
    assert [line for line in result.outlines if line.startswith("run number")] == ["run number 7"]


def test_a_clean_run_that_fails_is_an_ordinary_failure(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS, expect_failure="it is naive")
    def test_one(llm, sandbox):
        log("run")
        agents.run("refund", agents.stock(llm, sandbox))
        thing = 5
        assert thing == 6, "of its own"
    """
    )
    result = project.runpytest("--chaos", "-l")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: of its own*", "thing *= 5"])
    result.stdout.no_fnmatch_line("*replay*")
    assert log_of(project) == [["run"], ["run"]]
    assert results() == {}


def test_leftover_turns_and_surprises_fail_the_clean_run(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_leftover(llm, sandbox):
        llm.says("never asked for")

    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_swallowed(llm, sandbox):
        try:
            agents.careful([{"role": "user", "content": "hello"}])
        except BaseException:
            pass
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["the script has 1 turn(s) and the agent asked for 0*"])
    result.stdout.fnmatch_lines(["model call 1 *has no turn in the script*"])


def test_nothing_to_strike_is_said(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults="reply-lost")
    def test_talks_only(llm, sandbox):
        llm.says("Hello.")
        agents.careful([{"role": "user", "content": "hello"}])
    """
    )
    result = project.runpytest("--chaos")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["reply-lost *not applied*", "*test_talks_only: no fault found a place to strike"])
    assert results()["test_talks_only"]["not_applied"] == ["reply-lost", "reply-slow"]


def test_a_session_that_is_to_stop_stops_the_search(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(
        HEAD
        + """
    @pytest.mark.chaos(faults=agents.FAULTS, expect_failure="never found out")
    def test_one(request, llm, sandbox):
        log("run")
        agents.run("refund", agents.stock(llm, sandbox))
        if len(LOG.read_text().splitlines()) == 5:
            request.session.shouldstop = "enough"

    def test_two():
        log("two")
    """
    )
    result = project.runpytest("--chaos")
    assert log_of(project) == [["run"]] * 6
    assert results()["test_one"]["complete"] is False
    result.stdout.fnmatch_lines(["*held in all 3 runs, and was interrupted"])
    result.assert_outcomes(passed=1)


def test_no_descriptor_is_left_open(project: pytest.Pytester) -> None:
    project.makepyfile(
        HEAD
        + """
    import os

    @pytest.fixture
    def broken(sandbox):
        assert sandbox.folder.is_dir()
        raise OSError("no")

    @pytest.mark.parametrize("n", range(5))
    def test_many(llm, sandbox, n):
        log(len(os.listdir("/proc/self/fd")))

    @pytest.mark.parametrize("n", range(3))
    def test_broken(broken, n):
        pass

    @pytest.mark.chaos(faults="reply-lost")
    @pytest.mark.parametrize("n", range(3))
    def test_more(llm, sandbox, n):
        log(len(os.listdir("/proc/self/fd")))
        agents.run("refund", agents.stock(llm, sandbox))
    """
    )
    project.runpytest("--chaos").assert_outcomes(passed=8, errors=3)
    assert len({count for (count,) in log_of(project)}) == 1
