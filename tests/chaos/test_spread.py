"""One search in parts, by --chaos-shard or on the workers of xdist: together they are the search undivided."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_agent.chaos.spread import spread
from pytest_agent.report.parts import unite

Results = Callable[[], dict[str, dict[str, Any]]]
Fresh = Callable[..., pytest.RunResult]
WITH_XDIST = ("pytest_agent.plugin", "xdist")

BREAKS = """
    import os, pytest, agents

    @pytest.mark.chaos(faults=agents.FAULTS)
    def test_breaks(llm, sandbox):
        agents.run("refund", agents.stock(llm, sandbox), agents.careless, keys=False)
"""
IN_A_CLASS = """
    class TestIt:
        @pytest.mark.chaos(faults=["reply-lost", "stream-*"])
        @pytest.mark.parametrize("task", ["re/fund"])
        async def test_holds(self, request, llm, sandbox, task):
            assert not hasattr(self, "seen")
            self.seen = True
            await agents.arun(f"{task} {request.node.name}", agents.stock(llm, sandbox))
"""


def bytes_of(project: pytest.Pytester) -> bytes:
    return (project.path / ".pytest_agent" / "results.json").read_bytes()


def test_workers_share_a_search_and_give_the_same_bytes(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(test_a=BREAKS + IN_A_CLASS)
    fresh("--chaos").assert_outcomes(passed=1, failed=1)
    whole = bytes_of(project)
    result = fresh("--chaos", "-n", "2", "-v", plugins=WITH_XDIST)
    assert bytes_of(project) == whole
    assert b'"part"' not in whole
    names = [f"{name}[[]{n}/2 of the search]" for n in (1, 2) for name in ("test_breaks", "test_holds[[]re/fund]")]
    for name in names:
        result.stdout.fnmatch_lines([f"*%]*test_a.py::*{name}*"])
    # In the summary it is one test, whose replay line is that of the test.
    result.stdout.fnmatch_lines(["  replay: pytest test_a.py::test_breaks --chaos-replay *"])
    sentences = [line for line in result.outlines if line.startswith("test_a.py::") and " runs" in line]
    assert [line.partition(": ")[0] for line in sentences] == [
        "test_a.py::TestIt::test_holds[re/fund]",
        "test_a.py::test_breaks",
    ]


def test_only_all_parts_together_can_say_that_it_did_not_break(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(
        test_a="""
        import pytest, agents

        @pytest.mark.chaos(faults=["reply-lost", "stream-stall"], expect_failure="a doubt")
        def test_sound(llm, sandbox):
            agents.run("refund", agents.stock(llm, sandbox))

        @pytest.mark.chaos(faults=["reply-lost", "stream-stall"], expect_failure="no key")
        def test_unsound(llm, sandbox):
            agents.run("refund", agents.stock(llm, sandbox), keys=False)
        """
    )
    result = fresh("--chaos", "-n", "2", plugins=WITH_XDIST)
    # Of each the part that ends last has the verdict.
    assert result.ret == 1
    outcomes = result.parseoutcomes()
    assert outcomes == {"failed": 1, "passed": 2, "xfailed": 1}
    result.stdout.fnmatch_lines(["expected to break (a doubt), and held in all * runs; take expect_failure out*"])
    tests = {entry["test"].rpartition("::")[2]: entry for entry in json.loads(bytes_of(project))["tests"]}
    assert {name: entry["passed"] for name, entry in tests.items()} == {"test_sound": False, "test_unsound": True}
    assert f"held in all {len(tests['test_sound']['runs'])} runs" in result.stdout.str()


def test_a_part_whose_worker_died_is_missed(project: pytest.Pytester, fresh: Fresh) -> None:
    project.makepyfile(
        test_a="""
        import os, pytest, agents

        @pytest.mark.chaos(faults=["reply-lost", "stream-stall"], expect_failure="a doubt")
        def test_dies(llm, sandbox, request):
            agents.run("refund", agents.stock(llm, sandbox))
            RUNS.append(1)
            if len(RUNS) == 2 and "[1/2" in request.node.nodeid:
                os._exit(3)

        RUNS = []
        """
    )
    result = fresh("--chaos", "-n", "2", plugins=WITH_XDIST)
    result.stdout.fnmatch_lines(["*crashed while running 'test_a.py::test_dies[[]1/2 of the search]'*"])
    result.stdout.fnmatch_lines(["test_a.py::test_dies: held in all * runs, and was interrupted"])
    result.stdout.no_fnmatch_line("*expected to break*")
    (entry,) = json.loads(bytes_of(project))["tests"]
    assert (entry["complete"], entry["passed"]) == (False, False)


def test_the_shards_are_the_whole(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(test_a=BREAKS)
    project.runpytest("--chaos")
    whole = results()["test_breaks"]
    assert whole["shard"] is None
    runs: list[dict[str, Any]] = []
    for number in (1, 2, 3):
        result = project.runpytest("--chaos", "--chaos-shard", f"{number}/3")
        result.stdout.fnmatch_lines([f"test_a.py::test_breaks (part {number}/3 of the search): * runs*"])
        part = results()["test_breaks"]
        assert part["shard"] == f"{number}/3"
        assert part["not_applied"] == whole["not_applied"]
        runs += part["runs"]
    # Two parts may need to know the same single fault.
    assert len(runs) < 1.2 * len(whole["runs"])
    assert sorted(set(map(json.dumps, runs))) == sorted(map(json.dumps, whole["runs"]))


def test_a_shard_alone_cannot_say_that_it_did_not_break(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a="""
        import pytest, agents

        @pytest.mark.chaos(faults="reply-lost", expect_failure="a doubt")
        def test_sound(llm, sandbox):
            agents.run("refund", agents.stock(llm, sandbox))
        """
    )
    project.runpytest("--chaos").assert_outcomes(failed=1)
    result = project.runpytest("--chaos", "--chaos-shard", "1/2")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*was expected*")


class Worker:
    """What `spread` asks of the configuration of a worker."""

    def __init__(self, parts: int, workers: int) -> None:
        self.workerinput = {"pytest_agent_spread": parts, "workercount": workers}


def items_of(project: pytest.Pytester, text: str) -> list[pytest.Item]:
    return project.getitems(text)


@pytest.mark.parametrize(("tests", "divided"), [(1, True), (3, True), (4, False)])
def test_a_suite_that_keeps_the_workers_busy_is_not_divided(
    project: pytest.Pytester, tests: int, divided: bool
) -> None:
    source = f"import pytest\n@pytest.mark.parametrize('n', range({tests}))\ndef test_one(llm, n): pass"
    items = items_of(project, source)
    before = [item.nodeid for item in items]
    config: Any = Worker(2, 2)
    spread(config, list(items), items)
    assert (len(items) == 2 * tests) is divided
    assert [item.nodeid for item in items if "of the search" not in item.nodeid] == ([] if divided else before)
    assert len({item.nodeid for item in items}) == len(items)
    # What a test can read of itself is the same in all parts.
    assert {item.name for item in items} == {f"test_one[{n}]" for n in range(tests)}


def test_members_of_a_group_and_other_tests_are_left_alone(project: pytest.Pytester) -> None:
    source = """
        import pytest

        @pytest.mark.xdist_group("one")
        def test_grouped(llm): pass

        def test_plain(): pass

        def test_chaos(llm): pass
        """
    items = items_of(project, source)
    config: Any = Worker(3, 3)
    spread(config, [items[0], items[2]], items)
    assert [item.nodeid.rpartition("::")[2] for item in items] == [
        "test_grouped",
        "test_plain",
        *(f"test_chaos[{n}/3 of the search]" for n in (1, 2, 3)),
    ]


def line(part: int | None, *schedules: str, **more: Any) -> dict[str, Any]:
    """A line of one part of a test's search, or of the whole."""
    data = {
        "test": "a.py::b",
        "runs": [{"schedule": schedule, "faults": schedule.split("; ")} for schedule in schedules],
        "failures": [],
        "complete": True,
        "passed": True,
        **more,
    }
    return data if part is None else {**data, "part": part}


def test_parts_without_the_whole_are_not_complete() -> None:
    (result,) = unite([line(2, "a; b", "c"), line(1, "b", "a; b"), line(1, "b", "a; b")])
    assert [run["schedule"] for run in result["runs"]] == ["b", "c", "a; b"]
    assert (result["complete"], result["passed"]) == (False, False)
    assert "part" not in result


def test_the_whole_replaces_its_parts() -> None:
    whole = line(None, "a", passed=False)
    assert unite([line(1, "a"), whole, line(2, "b")]) == [whole]
    # And a later one an earlier.
    later = line(None, "a")
    assert unite([whole, later]) == [later]
