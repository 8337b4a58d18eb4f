"""The runtime over a store that tears, loses, fills up, may not be written or is held, at each of its commits."""

import asyncio

import httpx
import pytest

from agentfsm import OpenAIChat
from agentfsm.agents import support_refund
from agentfsm.errors import StoreError
from agentfsm.store import open_store
from pytest_agent import AgentFsm, call
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.chaos.search.singles import single_faults
from pytest_agent.chaos.sites import list_sites
from pytest_agent.chaos.verdict import judge
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.trace import Died, StoreCommitted

HTTP = httpx.AsyncClient()
CATALOGUE = load_catalogue()


def live(run, url):
    """The outcome of the task, or the code of the store's error that ended it."""

    @run.sandbox.tool("orders.lookup")
    async def lookup(order: int):
        return {"order": order, "amount": 20, "currency": "EUR", "refundable": True}

    @run.sandbox.tool("payments.refund", effect=True, idempotent=True)
    async def refund(order: int, amount: int):
        return {"refund_id": f"refund-of-{order}"}

    run.llm.says(call("orders.lookup", order=7), call("payments.refund", order=7, amount=20), "Refunded.")
    agent = AgentFsm(
        lambda store, observer: support_refund.build(
            store=store,
            model=OpenAIChat(HTTP, model="gpt-5", api_key="test"),
            tools=run.sandbox.tools,
            observer=observer,
        ),
        lambda: open_store(url or f"sqlite:///{run.sandbox.folder}/tasks.db"),
    )
    with run.inside():
        try:
            outcome = asyncio.run(AgentRunner(run.seams)(agent, "Please refund order 7")).outcome
        except StoreError as error:
            outcome = error.code
    run.sandbox.finish()
    return outcome


def under(run_under, fault, url_of=lambda: ""):
    """The schedule, the outcome and the run of each site at which the fault strikes, judged."""
    clean = run_under()
    assert live(clean, url_of()) == "success"
    named = (CATALOGUE[fault],)
    schedules = [str(each) for each in single_faults(named, list_sites(clean.trace.events))]
    for schedule in schedules:
        run = run_under(schedule)
        outcome = live(run, url_of())
        verdict = judge(schedule, run.trace.events, clean.trace.events, named)
        assert verdict.word in ("survived", "degraded"), (schedule, verdict.violations)
        yield schedule, outcome, run
    assert len(schedules) == sum(1 for event in clean.trace.of(StoreCommitted)) / 2


@pytest.mark.parametrize("fault", ["torn-last-write", "fsync-lost"])
def test_it_ends_well_after_a_write_that_was_torn_or_a_loss_of_power(run_under, fault):
    for schedule, outcome, run in under(run_under, fault):
        assert (outcome, len(run.sandbox.ledger)) == ("success", 1), schedule
        assert len(list(run.trace.of(Died))) == 1


CODES = {"disk-full": "disk_full", "store-read-only": "read_only", "store-locked": "locked"}


@pytest.mark.parametrize("fault", CODES)
def test_it_ends_honestly_over_a_store_that_cannot_be_written(run_under, fault):
    outcomes = [outcome for _, outcome, _ in under(run_under, fault)]
    assert set(outcomes) <= {"success", CODES[fault]}
    assert CODES[fault] in outcomes


# Not `store-locked`: while the runtime waits for its next try, the clock cannot know that its database is at rest.
@pytest.mark.parametrize("fault", ["disk-full", "store-read-only"])
def test_so_it_does_on_postgresql(run_under, postgres, fault):
    outcomes = [outcome for _, outcome, _ in under(run_under, fault, postgres.fresh)]
    assert set(outcomes) <= {"success", CODES[fault]}
    assert CODES[fault] in outcomes


def test_on_postgresql_nothing_is_known_of_files(run_under, postgres):
    run = run_under()
    assert live(run, postgres.fresh()) == "success"
    assert {event.file for event in run.trace.of(StoreCommitted)} == {""}
    torn = single_faults([CATALOGUE["torn-last-write"]], list_sites(run.trace.events))
    assert list(torn) == []


def test_a_schedule_that_tears_can_be_pasted_back():
    text = "torn-last-write@process@store:commit#2.after"
    assert str(Schedule.parse(text)) == text
