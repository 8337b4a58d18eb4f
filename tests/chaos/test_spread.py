"""One search in parts, by --chaos-shard or on the workers of xdist: together they are the search undivided."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_agent.chaos.search.bounds import LANES
from pytest_agent.chaos.search.lanes import lane_of
from pytest_agent.chaos.search.order import CanonicalOrder
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.chaos.spread import spread
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.site import Site
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
    # Of the sound one the part that ends last fails; of the other the part that broke is the expected failure.
    assert result.ret == 1
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1
    assert outcomes["passed"] + outcomes["xfailed"] == 3
    assert outcomes["xfailed"] >= 1
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
        result.stdout.fnmatch_lines([f"test_a.py::test_breaks (part {number}/3 of the search): * runs"])
        part = results()["test_breaks"]
        assert part["shard"] == f"{number}/3"
        assert part["not_applied"] == whole["not_applied"]
        runs += part["runs"]
    assert len(runs) == len(whole["runs"])
    assert sorted(map(json.dumps, runs)) == sorted(map(json.dumps, whole["runs"]))


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


def test_every_schedule_has_a_lane_of_its_own_making() -> None:
    schedules = [Schedule.parse(f"reply-lost@tool:refund#{n}") for n in range(1, 200)]
    lanes = [lane_of(schedule) for schedule in schedules]
    assert set(lanes) == set(range(LANES))
    assert lanes == [lane_of(schedule) for schedule in schedules]
    assert lane_of(Schedule()) in range(LANES)
    # What begins alike is done by one worker.
    pair = Schedule.parse("insufficient-quota@llm#1; reply-lost@tool:refund#1")
    assert lane_of(pair) == lane_of(Schedule.parse("insufficient-quota@llm#1"))


def test_the_order_on_record() -> None:
    catalogue = load_catalogue()
    sites = [SeenSite(Site.parse(f"tool:refund#{n}"), {"effect": True}) for n in (1, 2)]
    order = CanonicalOrder([catalogue["reply-slow"], catalogue["reply-lost"]], sites)
    schedules = [
        "",
        "reply-slow@tool:refund#1",
        "reply-slow@tool:refund#2",
        "reply-lost@tool:refund#1",
        # At places that were not there in the clean run.
        "reply-lost@tool:refund#9",
        "reply-lost@tool:refund#10",
        "reply-slow@tool:refund#1; reply-lost@tool:refund#2",
        "reply-lost@tool:refund#1; reply-lost@tool:refund#2",
    ]
    canonical = [str(Schedule.parse(text)) if text else "" for text in schedules]
    backwards = canonical[::-1]
    assert sorted(backwards, key=order.key)[:6] == canonical[:6]
    assert [order.key(text)[0] for text in canonical] == [0, 1, 1, 1, 1, 1, 2, 2]


def part(number: int, *schedules: str, **more: Any) -> dict[str, Any]:
    """A line of part `number` of two; the lower-case letters are runs that held, the others ones that broke."""
    broke = [schedule for schedule in schedules if schedule.isupper()]
    failures = [{"way": "W", "schedule": broke[0], "also_at": broke[1:]}] if broke else []
    return {
        "test": "a.py::b",
        "part": [number, 2],
        "order": {schedule: [1, schedule.lower()] for schedule in schedules},
        "runs": [{"schedule": schedule} for schedule in schedules],
        "failures": failures,
        "not_applied": [],
        "not_explored": [],
        "expect_failure": None,
        "complete": True,
        "passed": not broke,
        **more,
    }


def test_parts_are_united_in_order_and_each_run_is_there_once() -> None:
    (result,) = unite([part(2, "B", "D", "e"), part(1, "a", "C", "e")])
    # `b` and `B` are two runs here, `e` is one.
    assert [run["schedule"] for run in result["runs"]] == ["a", "B", "C", "D", "e"]
    assert [(entry["schedule"], entry["also_at"]) for entry in result["failures"]] == [("B", ["C", "D"])]
    assert (result["complete"], result["passed"]) == (True, False)
    assert not {"part", "order"} & set(result)


def test_what_no_part_has_reached_is_not_applied() -> None:
    lines = [
        part(1, "a", not_applied=["x", "y", "z"], not_explored=["pairs"]),
        part(2, "b", not_applied=["z", "y"], not_explored=["more", "pairs"]),
    ]
    (result,) = unite(lines)
    assert result["not_applied"] == ["y", "z"]
    assert result["not_explored"] == ["pairs", "more"]


@pytest.mark.parametrize(
    ("lines", "complete", "passed"),
    [
        ([part(1, "a"), part(2, "b")], True, True),
        ([part(1, "a")], False, False),
        ([part(1, "a"), part(2, "b", complete=False)], False, False),
        ([part(1, "a"), part(2, "b", passed=False)], True, False),
        ([part(1, "a", passed=False), part(2, "b"), part(1, "a")], True, True),
        ([part(1, "a", expect_failure="r"), part(2, "b", expect_failure="r")], True, False),
        ([part(1, "A", expect_failure="r", passed=True), part(2, "b", expect_failure="r")], True, True),
    ],
)
def test_what_becomes_of_a_test_in_parts(lines: list[dict[str, Any]], complete: bool, passed: bool) -> None:
    (result,) = unite(lines)
    assert (result["complete"], result["passed"]) == (complete, passed)
