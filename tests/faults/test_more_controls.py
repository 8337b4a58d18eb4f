"""Every control leaves an agent without any retries successful; every fault says where it cannot act."""

import asyncio
import json

import anthropic
import httpx
import openai
import pytest

from agentfsm import OpenAIChat, SQLiteStore
from agentfsm.agents import support_refund
from pytest_agent import AgentFsm, Turn, Usage, call
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.effect import EventEffect
from pytest_agent.faults.effects.boundaries import process_moment
from pytest_agent.trace import FaultApplied

OPENAI = openai.OpenAI(api_key="test", max_retries=0, timeout=30)
ANTHROPIC = anthropic.Anthropic(api_key="test", max_retries=0, timeout=30)
NAMED = list(load_catalogue())


def ids(seam, *, controls):
    return [named.id for named in NAMED if named.effect.seam == seam and named.is_control is controls]


def over_openai(tools, *, stream):
    """No retries, no limits, no checks: what comes is believed."""
    messages = [{"role": "user", "content": "Refund order 7"}]
    while True:
        ask = {"model": "gpt-5", "messages": messages}
        if stream:
            with OPENAI.chat.completions.stream(**ask) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = OPENAI.chat.completions.create(**ask).choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(include={"role", "content", "tool_calls"}))
        for wanted in message.tool_calls:
            result = tools[wanted.function.name](**json.loads(wanted.function.arguments))
            messages.append({"role": "tool", "tool_call_id": wanted.id, "content": json.dumps(result)})


def over_anthropic(tools, *, stream):
    messages = [{"role": "user", "content": "Refund order 7"}]
    while True:
        ask = {"model": "claude-5", "max_tokens": 100, "messages": messages}
        if stream:
            with ANTHROPIC.messages.stream(**ask) as events:
                message = events.get_final_message()
        else:
            message = ANTHROPIC.messages.create(**ask)
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            return message.content[0].text
        messages.append({"role": "assistant", "content": [block.model_dump() for block in message.content]})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": json.dumps(tools[block.name](**block.input))}
            for block in calls
        ]
        messages.append({"role": "user", "content": results})


def world(run):
    @run.sandbox.tool("lookup")
    def lookup(order: int):
        return {"order": order, "amount": 20}

    @run.sandbox.tool("refund", effect=True)
    def refund(order: int):
        return {"refunded": order}

    run.llm.says(
        call("lookup", order=7), call("refund", order=7), Turn("Order 7 is refunded. Grüße!", usage=Usage(9, 9))
    )
    return run.sandbox.tools


@pytest.mark.parametrize("agent", [over_openai, over_anthropic])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("control", ids("llm", controls=True))
def test_controls_of_the_model(run_under, control, stream, agent):
    run = run_under(f"{control}@llm#2")
    with run.inside():
        assert agent(world(run), stream=stream) == "Order 7 is refunded. Grüße!"
    assert [(entry.tool, entry.arguments) for entry in run.sandbox.ledger] == [("refund", {"order": 7})]
    if stream and agent is over_openai and control != "call-in-one-piece":
        assert list(run.trace.of(FaultApplied)), "the control did not act"


@pytest.mark.parametrize("tool", ["lookup", "refund"])
@pytest.mark.parametrize("control", ids("tool", controls=True))
def test_controls_of_tools(run_under, control, tool):
    run = run_under(f"{control}@tool:{tool}")
    with run.inside():
        assert over_openai(world(run), stream=True) == "Order 7 is refunded. Grüße!"
    assert run.sandbox.ledger.count("refund") == 1
    assert list(run.trace.of(FaultApplied))


SITES = {
    "store-slow": "store:commit#2.before",
    "store-answer-late": "store:commit#2.after",
    "restart-after-end": "process@store:commit#6.after",
    "store-fails-over": "store:commit#2.after",
    "store-held-shortly": "store:commit#2.before",
    "commit-slow-on-full-disk": "store:commit#2.before",
    "process-stands-still-asking": "process@llm#2",
    "process-stands-still-waiting": "process@llm#2",
    "write-slow": "process@store:commit#2.after",
    "flush-slow": "process@store:commit#2.after",
    "process-stands-still-before-call": "process@tool:payments.refund",
    "process-stands-still-after-effect": "process@tool:payments.refund",
    "cancelled-too-late": "process@llm#1",
    "second-worker-after-end": "process@store:commit#6.after",
    "wall-clock-slewed": "process@llm#1",
}


@pytest.mark.parametrize("control", [*ids("store", controls=True), *ids("process", controls=True)])
def test_controls_of_store_and_process(run_under, control):
    run = run_under(f"{control}@{SITES[control]}")
    with run.inside():
        result = asyncio.run(refund_agent(run))
    assert result.outcome == "success"
    assert run.sandbox.ledger.count("payments.refund") == 1
    assert list(run.trace.of(FaultApplied))


async def refund_agent(run):
    @run.sandbox.tool("orders.lookup")
    async def lookup(order: int):
        return {"order": order, "amount": 20, "currency": "EUR", "refundable": True}

    @run.sandbox.tool("payments.refund", effect=True, idempotent=True)
    async def refund(order: int, amount: int):
        return {"refund_id": f"refund-of-{order}"}

    run.llm.says(call("orders.lookup", order=7), call("payments.refund", order=7, amount=20), "Refunded.")
    http = httpx.AsyncClient()
    agent = AgentFsm(
        lambda store, observer: support_refund.build(
            store=store,
            model=OpenAIChat(http, model="gpt-5", api_key="test"),
            tools=run.sandbox.tools,
            observer=observer,
        ),
        lambda: SQLiteStore(run.sandbox.folder / "tasks.db"),
    )
    return await AgentRunner(run.seams)(agent, "Please refund order 7")


# Where nothing is to be acted on, an effect returns what it was given.


@pytest.mark.parametrize("name", [named.id for named in NAMED if named.effect.seam == "llm"])
def test_a_plain_answer_in_words_is_left_alone_by_what_needs_a_stream_or_a_call(run_under, name):
    effect = load_catalogue()[name].effect
    words = {"streamed": False, "terminal_at": 0, "arguments": False, "calls": 0, "called": False, "pure": False}
    run = run_under(f"{name}@llm")
    run.llm.says("one two")
    applies = bool(list(effect.variants(words, ())))
    acted = False
    with run.inside():
        try:
            OPENAI.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hi"}])
        except openai.OpenAIError:
            acted = True
    assert bool(list(run.trace.of(FaultApplied))) == applies
    assert acted <= applies


@pytest.mark.parametrize("named", [n for n in NAMED if n.effect.seam != "llm"], ids=lambda n: n.id)
def test_other_seams_have_no_variant_without_their_facts(named):
    expected = isinstance(named.effect, EventEffect) and named.id not in {"event-reordered", "event-with-more"}
    assert bool(list(named.effect.variants({}, ()))) is expected


def test_the_moments_of_a_process():
    can = {"restartable": True}
    commit, call_, effect = {"last": False, **can}, {"effect": False, **can}, {"effect": True, **can}
    whole, cut = {"answered": True, **can}, {"answered": False, **can}
    written = {"last": False, "phase": "after", "file": True, **can}
    assert not process_moment("before-call", {"effect": True, "restartable": False})
    assert [process_moment("asked", facts) for facts in (whole, cut, commit)] == [True, True, False]
    assert [process_moment("answered", facts) for facts in (whole, cut, commit)] == [True, False, False]
    assert [process_moment("written", facts) for facts in (written, commit, whole)] == [True, False, False]
    assert [process_moment("commit", facts) for facts in (commit, call_, effect)] == [True, False, False]
    assert [process_moment("before-call", facts) for facts in (commit, call_, effect)] == [False, True, True]
    assert [bool(process_moment("after-effect", facts)) for facts in (commit, call_, effect)] == [False, False, True]
