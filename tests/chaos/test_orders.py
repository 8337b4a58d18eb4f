"""Orders of ready tasks: found where an agent leans on the usual one, and told as single deviations from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_agent.chaos.search.orders import single_picks
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.site import Site
from pytest_agent.trace import TaskChosen, load_line

Results = Callable[[], dict[str, dict[str, Any]]]

AGENT = """
    import asyncio, contextlib, pytest

    @pytest.fixture
    def pay(sandbox):
        @sandbox.tool("pay", effect=True)
        async def pay(seat):
            return "paid"

        return sandbox.tools["pay"]

    async def buys(lock, pay):
        taken = []

        async def helper(name):
            async with lock:
                if not taken:
                    if name == "slow":
                        await asyncio.sleep(0)
                    taken.append(name)
                    await pay(seat=7)

        async with asyncio.TaskGroup() as group:
            group.create_task(helper("quick"))
            group.create_task(helper("slow"))

    @pytest.mark.chaos(faults="tasks-*")
    async def test_leans_on_the_order(pay, run_agent):
        await run_agent(buys, contextlib.nullcontext(), pay)

    @pytest.mark.chaos(faults="tasks-*")
    async def test_does_not(pay, run_agent):
        await run_agent(buys, asyncio.Lock(), pay)
"""


def of_the_folder(project: pytest.Pytester, name: str) -> list[Any]:
    (path,) = (project.path / ".pytest_agent" / "traces").glob(f"*{name}*")
    return [load_line(line) for line in path.read_bytes().splitlines()]


def last_run(project: pytest.Pytester, name: str) -> list[Any]:
    events = of_the_folder(project, name)
    return events[max(place for place, event in enumerate(events) if event.kind == "run_started") :]


def test_an_agent_that_leans_on_the_usual_order_is_found(project: pytest.Pytester, results: Results) -> None:
    # In the usual order the quick one has taken the seat before the slow one looks.
    project.makepyfile(AGENT)
    project.runpytest("--chaos").assert_outcomes(passed=1, failed=1)
    found = results()
    broken = found["test_leans_on_the_order"]
    assert {id_ for failure in broken["failures"] for id_ in failure["ids"]} == {"I1"}
    assert any(run["schedule"].startswith("tasks-reordered") for run in broken["runs"] if run["verdict"] == "FAILED")
    assert {run["verdict"] for run in found["test_does_not"]["runs"]} == {"survived"}
    # What only says that it is another order breaks nobody.
    usual = [run for run in broken["runs"] if run["faults"][0].startswith("tasks-in-order")]
    assert {run["verdict"] for run in usual} == {"survived"}
    assert len(usual) == 2


NEEDS_THREE = """
    import asyncio, pytest

    @pytest.mark.chaos(faults="tasks-shuffled", expect_failure="it leans on the usual order, three times over")
    async def test_needs_three(sandbox, run_agent):
        sandbox.must_hold("not all turns were unusual", lambda: went != ["ba"] * 3)
        went = []

        async def agent():
            for turn in range(3):
                order = []
                async def goes(name):
                    order.append(name)
                await asyncio.gather(goes("a"), goes("b"))
                went.append("".join(order))

        await run_agent(agent)
"""


def test_a_shuffled_order_is_told_as_single_deviations(project: pytest.Pytester, results: Results) -> None:
    project.makepyfile(NEEDS_THREE)
    seed = next(seed for seed in range(100) if _breaks(project, results, f"tasks-shuffled(seed={seed})@clock:ready#1"))
    shuffled = Schedule.parse(f"tasks-shuffled(seed={seed})@clock:ready#1")
    single = single_picks(shuffled, last_run(project, "needs_three"))
    assert str(single) == (
        "tasks-reordered@clock:ready#1; tasks-reordered@clock:ready#2; tasks-reordered@clock:ready#3"
    )
    assert _breaks(project, results, str(single))
    assert not _breaks(project, results, "tasks-reordered@clock:ready#1; tasks-reordered@clock:ready#3")


def _breaks(project: pytest.Pytester, results: Results, schedule: str) -> bool:
    project.runpytest("--chaos-replay", schedule)
    (run,) = results()["test_needs_three"]["runs"]
    return bool(run["verdict"] == "FAILED")


def test_single_picks_keeps_the_other_faults_and_says_the_pick() -> None:
    events = [
        TaskChosen(site="clock:ready#1", ready=3, picked=3),
        TaskChosen(site="clock:ready#2", ready=2, picked=1),
        TaskChosen(site="clock:ready#3", ready=2, picked=2),
    ]
    schedule = Schedule.parse("tasks-shuffled(seed=3)@clock:ready#1; reply-lost@tool:pay#1")
    assert str(single_picks(schedule, events)) == (
        "tasks-reordered(pick=3)@clock:ready#1; tasks-reordered@clock:ready#3; reply-lost@tool:pay#1"
    )
    plain = Schedule.parse("tasks-reordered@clock:ready#3")
    assert single_picks(plain, events) is plain


def test_the_form_of_the_site() -> None:
    assert str(Site.parse("clock:ready")) == "clock:ready#1"
    assert str(Site.parse("clock#3")) == "clock#3"
