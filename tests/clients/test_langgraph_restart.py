"""A langgraph agent over its SQLite checkpointer dies at every site, and goes on from its checkpoints."""

import asyncio
import sqlite3
from typing import Annotated

import aiosqlite
import pytest
from langchain.agents import create_agent
from langchain_core.tools import InjectedToolCallId, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from pytest_agent import call, restartable
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.chaos.search.singles import single_faults
from pytest_agent.chaos.sites import list_sites
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.trace import Died, StoreCommitted

THREAD = {"configurable": {"thread_id": "task-1"}}
DEATHS = "orchestration.crash-*,orchestration.torn-last-write,orchestration.fsync-lost"


def parts(run, *, key):
    """The model and the tools of a process. The id of a call is in the checkpoint: it outlives the process."""

    @tool
    def refund(order: int, amount: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Pay an amount back."""
        given = {"idempotency_key": tool_call_id} if key else {}
        return str(run.sandbox.tools["refund"](order=order, amount=amount, **given))

    return ChatOpenAI(model="gpt-5", api_key="test", use_responses_api=False, max_retries=0), [refund]


def entry(state, task):
    return None if state.values else {"messages": [("user", task)]}


def sync_agent(run, *, key):
    @restartable
    def live(folder, task):
        model, tools = parts(run, key=key)
        db = sqlite3.connect(folder / "checkpoints.db", check_same_thread=False)
        agent = create_agent(model, tools, checkpointer=SqliteSaver(db))
        given = entry(agent.get_state(THREAD), task)
        return agent.invoke(given, THREAD, durability="sync")["messages"][-1].text

    return live


def async_agent(run, *, key):
    @restartable
    async def live(folder, task):
        model, tools = parts(run, key=key)
        async with aiosqlite.connect(folder / "checkpoints.db") as db:
            agent = create_agent(model, tools, checkpointer=AsyncSqliteSaver(db))
            given = entry(await agent.aget_state(THREAD), task)
            return (await agent.ainvoke(given, THREAD, durability="sync"))["messages"][-1].text

    return live


def live_under(run_under, schedule, make, *, key):
    """The run, its agent having lived to its end."""
    run = run_under(schedule)

    @run.sandbox.tool("refund", effect=True, idempotent=True)
    def refund(order: int, amount: int):
        return {"refunded": amount}

    run.llm.says(call("refund", order=7, amount=20), "Refunded.")
    with run.inside():
        said = AgentRunner(run.seams, run)(make(run, key=key), "refund order 7")
        assert (asyncio.run(said) if make is async_agent else said) == "Refunded."
    run.sandbox.finish()
    return run


def paid_twice(run_under, make, *, key):
    """The deaths, of all there are, after which the money was paid a second time; and how many there are."""
    clean = live_under(run_under, "", make, key=key)
    assert len(clean.sandbox.ledger) == 1
    deaths = [fault for fault in load_catalogue().select(DEATHS) if not fault.is_control]
    schedules = [str(schedule) for schedule in single_faults(deaths, list_sites(clean.trace.events))]
    twice = []
    for schedule in schedules:
        run = live_under(run_under, schedule, make, key=key)
        assert len(list(run.trace.of(Died))) == 1, schedule
        assert len(run.sandbox.ledger) in (1, 2)
        if len(run.sandbox.ledger) == 2:
            twice.append(schedule)
    return twice, len(schedules)


@pytest.mark.parametrize("make", [sync_agent, async_agent])
def test_an_agent_with_an_idempotency_key_pays_once_wherever_it_dies(run_under, make):
    twice, deaths = paid_twice(run_under, make, key=True)
    assert twice == []
    assert deaths > 20


@pytest.mark.parametrize("make", [sync_agent, async_agent])
def test_the_naive_one_pays_twice(run_under, make):
    twice, _ = paid_twice(run_under, make, key=False)
    assert "crash-after-effect@process@tool:refund" in {schedule.partition("#")[0] for schedule in twice}


def test_every_checkpoint_is_a_site(run_under):
    run = live_under(run_under, "", sync_agent, key=True)
    written = {event.file for event in run.trace.of(StoreCommitted)}
    assert written == {"checkpoints.db"}
