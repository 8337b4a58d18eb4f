"""Two workers on one task, events twice and in another order, and wall clocks that jump."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agentfsm import Commit, leases
from agentfsm.agents import support_refund
from agentfsm.errors import Conflict
from agentfsm.ports import Store
from agentfsm.records import Receipt
from pytest_agent import call
from pytest_agent.adapters.agentfsm import shipped_agent
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.chaos.verdict import Verdict, judge
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.run import Run
from pytest_agent.trace import CancelAsked, FaultApplied

Results = Callable[[], dict[str, dict[str, Any]]]
Under = Callable[..., Run]


class SwallowsConflicts:
    """A store that says that a commit is written, whoever has taken the task over meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def commit(self, change: Commit) -> Any:
        try:
            return await self._store.commit(change)
        except Conflict:
            return Receipt(change.task.version + change.moves, controls=0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def refund(run: Run, wrap: Callable[[Any], Any] = lambda store: store) -> Any:
    """The shipped agent's run of one refund; what it raises is on record too."""

    @run.sandbox.tool("orders.lookup")
    async def lookup(order: int) -> dict[str, object]:
        return {"order": order, "amount": 20, "currency": "EUR", "refundable": True}

    @run.sandbox.tool("payments.refund", effect=True, idempotent=True)
    async def pay(order: int, amount: int) -> dict[str, object]:
        await asyncio.sleep(1)
        return {"refund_id": f"refund-of-{order}"}

    run.llm.says(call("orders.lookup", order=7), call("payments.refund", order=7, amount=20), "Refunded.")
    agent = shipped_agent(lambda store, **more: support_refund.build(store=wrap(store), **more), run.sandbox)
    error: BaseException | None = None
    result = None
    with run.inside():
        try:
            result = asyncio.run(AgentRunner(run.seams)(agent, "Please refund order 7"))
        except (Exception, asyncio.CancelledError) as caught:  # noqa: BLE001 - judged below
            error = caught
        run.body_ended(error)
    return result


def verdict(run_under: Under, schedule: str, wrap: Callable[[Any], Any] = lambda store: store) -> tuple[Verdict, Any]:
    """What the harness says of the refund under a schedule, and what the agent returned."""
    clean = run_under()
    clean.sandbox.keep_in(clean.sandbox.folder / "clean")
    refund(clean)
    run = run_under(schedule)
    run.sandbox.keep_in(run.sandbox.folder / "faulted")
    result = refund(run, wrap)
    named = tuple(load_catalogue()[fault.id] for fault in Schedule.parse(schedule).faults)
    assert list(run.trace.of(FaultApplied))
    return judge(schedule, run.trace.events, clean.trace.events, named), result


COMMITS = [f"store:commit#{n}.{phase}" for n in (1, 3, 4, 6) for phase in ("before", "after")]


@pytest.mark.parametrize("site", COMMITS)
def test_a_second_worker_leaves_the_task_to_whoever_has_its_lease(run_under: Under, site: str) -> None:
    said, result = verdict(run_under, f"second-worker@process@{site}")
    assert (said.word, result.outcome) == ("survived", "success")


def test_a_second_worker_that_takes_a_task_by_force_is_found(run_under: Under, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "left", lambda task, now: 0.0)
    said = [verdict(run_under, f"second-worker@process@{site}", SwallowsConflicts)[0] for site in COMMITS]
    assert {"I11", "I13"} & {id_ for one in said for id_ in one.ids}


def test_without_a_lease_the_fencing_token_still_keeps_the_task_whole(
    run_under: Under, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "left", lambda task, now: 0.0)
    said = [verdict(run_under, f"second-worker@process@{site}")[0] for site in COMMITS]
    assert not any(one.failed for one in said)


@pytest.mark.parametrize("by", ["disconnect", "request"])
@pytest.mark.parametrize("site", COMMITS)
def test_agentfsm_is_cancelled_cleanly_around_every_commit(run_under: Under, site: str, by: str) -> None:
    how = "" if by == "disconnect" else f"by={by}, "
    said, _ = verdict(run_under, f"cancelled({how}when=commit)@process@{site}")
    assert not said.failed, said.violations
    assert said.outcome in ("cancelled", "success")


def test_a_user_asks_for_it_while_the_model_is_asked(run_under: Under) -> None:
    run = run_under("cancelled(by=request)@process@llm#2")
    result = refund(run)
    assert (result.outcome, result.cause) == ("cancelled", "cancelled")
    (asked,) = run.trace.of(CancelAsked)
    assert asked.by == "request"
    assert run.sandbox.ledger.count("payments.refund") == 0


@pytest.mark.parametrize("by_s", [3600, -3600])
@pytest.mark.parametrize("site", COMMITS)
def test_agentfsm_survives_a_wall_clock_that_jumps(run_under: Under, site: str, by_s: int) -> None:
    how = "" if by_s == 3600 else f"by_s={by_s}, "
    said, result = verdict(run_under, f"wall-clock-jumps({how}when=commit)@process@{site}")
    assert (said.word, result.outcome) == ("survived", "success")


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
def test_only_the_wall_clock_moves(run_under: Under, by_s: float) -> None:
    run = run_under()
    with run.inside():
        before = time.time(), time.monotonic(), time.perf_counter(), run.clock.elapsed_s
        run.clock.move_wall(by_s)
        assert time.time() - before[0] == by_s
        assert datetime.now(UTC).timestamp() == time.time()
        assert (time.monotonic(), time.perf_counter(), run.clock.elapsed_s) == before[1:]
        time.sleep(5)
        assert time.time() - before[0] == by_s + 5
        assert time.monotonic() - before[1] == 5


PLANTED = """
    import time, pytest, agents
    from pytest_agent.adapters.arrivals import Arrival

    @pytest.fixture
    def refund(llm, sandbox):
        return agents.stock(llm, sandbox)

    @pytest.mark.chaos(faults="wall-clock-jumps")
    def test_measures_with_the_wall_clock(refund, sandbox):
        began = time.time()
        agents.run("refund", refund)
        assert 0 <= time.time() - began < 600

    @pytest.mark.chaos(faults="wall-clock-jumps")
    def test_measures_with_a_clock_that_is_never_set(refund, sandbox):
        began = time.monotonic()
        agents.run("refund", refund)
        assert 0 <= time.monotonic() - began < 600

    @pytest.fixture
    def pay(sandbox):
        @sandbox.tool("pay", effect=True)
        def pay(order):
            return "paid"

        return sandbox.tools["pay"]

    ARRIVALS = [Arrival("bank", f"e{n}", "paid", {"order": n}) for n in (1, 2, 3)]

    @pytest.mark.chaos(faults=["event-duplicated", "event-reordered"])
    async def test_acts_on_every_delivery(pay, run_agent):
        await run_agent.deliver(lambda event: pay(order=event.payload["order"]), *ARRIVALS)

    @pytest.mark.chaos(faults=["event-duplicated", "event-reordered"])
    async def test_acts_on_every_event(pay, run_agent):
        seen = set()

        def once(event):
            if event.identity not in seen:
                seen.add(event.identity)
                pay(order=event.payload["order"])

        await run_agent.deliver(once, *ARRIVALS)

    @pytest.mark.chaos(faults="event-reordered")
    async def test_the_last_one_wins(sandbox, run_agent):
        state = []
        sandbox.must_hold("the state is that of the last event", lambda: state[-1] == 3)
        await run_agent.deliver(lambda event: state.append(event.payload["order"]), *ARRIVALS)
"""


def test_agents_that_are_not_up_to_it_are_found_and_their_twins_hold(
    project: pytest.Pytester, results: Results
) -> None:
    project.makepyfile(PLANTED)
    project.runpytest("--chaos").assert_outcomes(passed=2, failed=3)
    found = results()
    failed = {name for name, result in found.items() if not result["passed"]}
    assert failed == {
        "test_measures_with_the_wall_clock",
        "test_acts_on_every_delivery",
        "test_the_last_one_wins",
    }
    jumps = [
        run["schedule"] for run in found["test_measures_with_the_wall_clock"]["runs"] if "jumps" in run["schedule"]
    ]
    assert "wall-clock-jumps(by_s=-3600)@process@llm#1" in jumps
    assert "wall-clock-jumps(when=before-call)@process@tool:refund#1" in jumps
    twice = {run["schedule"]: run for run in found["test_acts_on_every_delivery"]["runs"]}
    # Each event comes twice once, each but the last is overtaken once.
    assert {f"event-duplicated@event:paid#{n}" for n in (1, 2, 3)} <= set(twice)
    assert {f"event-reordered@event:paid#{n}" for n in (1, 2)} <= set(twice)
    assert {v["id"] for v in twice["event-duplicated@event:paid#2"]["violations"]} == {"I1"}
