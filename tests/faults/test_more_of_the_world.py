"""Further faults of tools, store, process and events."""

import asyncio
import threading

import httpx
import pytest

from agentfsm import AgentError, Limits, OpenAIChat, SQLiteStore
from agentfsm.agents import support_refund
from pytest_agent import AgentFsm, call
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.chaos.sites import list_sites
from pytest_agent.clock import NothingToWaitFor
from pytest_agent.errors import ProcessDied, RunAbort
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.effect import Delivered
from pytest_agent.faults.site import Site
from pytest_agent.trace import (
    AgentStarted,
    Died,
    EffectCommitted,
    FaultApplied,
    OutcomeClaimed,
    StoreCommitted,
    ToolReplied,
)

HTTP = httpx.AsyncClient()


def tools(run):
    """`refund` changes the world, `lookup` does not; each also as `async`."""

    @run.sandbox.tool("lookup")
    def lookup(order: int):
        return {"order": order}

    @run.sandbox.tool("refund", effect=True, idempotent=True)
    def refund(order: int):
        return {"refunded": order}

    @run.sandbox.tool("arefund", effect=True)
    async def arefund(order: int):
        return {"refunded": order}

    @run.sandbox.tool("say")
    def say(order: int):
        return "seven"

    @run.sandbox.tool("count")
    def count(order: int):
        return order

    return run.sandbox.tools


def use(run, name, **more):
    tool = tools(run)[name]
    with run.inside():
        return asyncio.run(tool(order=7)) if name == "arefund" else tool(order=7, **more)


def statuses(run):
    return [event.status for event in run.trace.of(ToolReplied)]


# Tools.


@pytest.mark.parametrize("name", ["refund", "arefund"])
@pytest.mark.parametrize(
    ("how", "reply"),
    [
        ("ok-false", {"ok": False, "error": "rejected"}),
        ("status", {"status": "permanent_error", "error_code": "rejected", "reason": "the request was rejected"}),
    ],
)
def test_an_error_in_the_words_of_a_reply(run_under, name, how, reply):
    run = run_under(f"tool-error-in-200(how={how})@tool:{name}")
    assert use(run, name) == reply
    assert len(run.sandbox.ledger) == 0
    assert statuses(run) == ["refused"]


def test_an_error_in_the_words_of_a_reply_lasts_and_is_not_remembered_under_the_key(run_under):
    run = run_under("tool-error-in-200@tool:refund")
    tool = tools(run)["refund"]
    with run.inside():
        assert [tool(order=n, idempotency_key=f"k{n}")["ok"] for n in (7, 7, 8)] == [False] * 3
        run.seams.armed = ()
        assert tool(order=7, idempotency_key="k7") == {"refunded": 7}


@pytest.mark.parametrize("name", ["refund", "arefund", "lookup"])
def test_a_tool_that_cannot_be_reached(run_under, name):
    run = run_under(f"tool-unavailable@tool:{name}")
    with pytest.raises(ConnectionRefusedError):
        use(run, name)
    assert (len(run.sandbox.ledger), statuses(run), run.clock.elapsed_s) == (0, ["refused"], 0)
    tool = run.sandbox.tools[name]
    with run.inside():
        assert asyncio.run(tool(order=7)) if name == "arefund" else tool(order=7)
    assert statuses(run) == ["refused", "ok"]


def test_after_a_refusal_the_model_says_its_call_again(run_under):
    run = run_under("tool-unavailable@tool:refund")
    tool = tools(run)["refund"]
    run.llm.says(call("refund", order=7), "Done.")
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "go"}]}
    with run.inside():
        httpx.post("https://llm.example/v1/chat/completions", json=body)
        with pytest.raises(ConnectionRefusedError):
            tool(order=7)
        body["messages"].append({"role": "user", "content": "it failed"})
        again = httpx.post("https://llm.example/v1/chat/completions", json=body).json()
    assert again["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "refund"


@pytest.mark.parametrize(("done", "commits"), [("true", 1), ("false", 0)])
def test_a_tool_that_hangs_under_a_limit(run_under, done, commits):
    run = run_under(f"tool-hangs(done={done})@tool:arefund")
    tool = tools(run)["arefund"]

    async def limited():
        async with asyncio.timeout(9):
            await tool(order=7)

    with run.inside(), pytest.raises(TimeoutError):
        asyncio.run(limited())
    assert run.clock.elapsed_s == 9
    assert (len(run.sandbox.ledger), statuses(run)) == (commits, ["lost"])


def test_a_tool_that_hangs_without_any_limit(run_under):
    run = run_under("tool-hangs@tool:refund")
    with pytest.raises(RunAbort, match="tool:refund#1: the tool never answers"):
        use(run, "refund")
    run = run_under("tool-hangs@tool:arefund")
    with pytest.raises(NothingToWaitFor):
        use(run, "arefund")


def test_a_sync_tool_that_hangs_in_a_thread_under_a_limit(run_under):
    before = threading.active_count()  # other tests of this process may have left some at rest
    run = run_under("tool-hangs@tool:refund")
    tool = tools(run)["refund"]

    async def limited():
        async with asyncio.timeout(9):
            await asyncio.to_thread(tool, order=7)

    with run.inside(), pytest.raises(TimeoutError):
        asyncio.run(limited())
    assert statuses(run) == ["lost"]
    assert threading.active_count() <= before


@pytest.mark.parametrize(("fault", "characters"), [("huge-output", 1_200_000), ("long-output", 2_000)])
def test_a_long_answer(run_under, fault, characters):
    reply = use(run_under(f"{fault}@tool:refund"), "refund")
    assert (reply["refunded"], len(reply["log"])) == (7, characters)
    assert len(use(run_under(f"{fault}@tool:say"), "say")) == 5 + characters
    run = run_under(f"{fault}@tool:count")
    assert use(run, "count") == 7
    assert not list(run.trace.of(FaultApplied))


def test_a_huge_answer_is_short_in_the_trace(run_under):
    run = run_under("huge-output@tool:refund")
    use(run, "refund")
    assert all(len(str(event)) < 2_000 for event in run.trace.events)


@pytest.mark.parametrize(("control", "more"), [("tool-says-ok", {"ok": True, "error": None}), ("tool-notice", None)])
def test_notes_beside_an_answer(run_under, control, more):
    reply = use(run_under(f"{control}@tool:refund"), "refund")
    assert reply.pop("refunded") == 7
    assert more is None or reply == more
    run = run_under(f"{control}@tool:say")
    assert use(run, "say") == "seven"
    assert not list(run.trace.of(FaultApplied))


def test_a_late_tool(run_under):
    run = run_under("tool-late@tool:lookup")
    assert use(run, "lookup") == {"order": 7}
    assert run.clock.elapsed_s == 3


# Process.


@pytest.mark.parametrize("name", ["refund", "arefund"])
@pytest.mark.parametrize(("fault", "commits"), [("crash-before-call", 0), ("crash-after-effect", 1)])
def test_the_process_dies_at_a_tool(run_under, name, fault, commits):
    run = run_under(f"{fault}@process@tool:{name}")
    with pytest.raises(ProcessDied):
        use(run, name)
    assert len(list(run.trace.of(EffectCommitted))) == commits
    assert next(run.trace.of(Died)).site == f"process@tool:{name}#1"
    assert statuses(run) == []


@pytest.mark.parametrize("name", ["refund", "arefund"])
@pytest.mark.parametrize("control", ["process-stands-still-before-call", "process-stands-still-after-effect"])
def test_the_process_stands_still_at_a_tool(run_under, name, control):
    run = run_under(f"{control}@process@tool:{name}")
    assert use(run, name) == {"refunded": 7}
    assert (run.clock.elapsed_s, len(run.sandbox.ledger)) == (2, 1)


@pytest.mark.parametrize(
    "schedule",
    [
        "crash-before-call@process@tool:orders.lookup",
        "crash-before-call@process@tool:payments.refund",
        "crash-after-effect@process@tool:payments.refund",
        "crash-after-effect@process@tool:payments.refund; reply-lost@tool:payments.refund/2",
    ],
)
def test_an_agent_with_a_store_goes_on_after_its_death(run_under, schedule):
    run = run_under(schedule)
    assert refund(run).outcome == "success"
    assert run.sandbox.ledger.count("payments.refund") == 1


def refund(run):
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
            limits=Limits(),
        ),
        lambda: SQLiteStore(run.sandbox.folder / "tasks.db"),
    )
    with run.inside():
        return asyncio.run(AgentRunner(run.seams)(agent, "Please refund order 7"))


def test_sites_of_a_process_need_an_agent_that_is_started_again(run_under):
    run = run_under()
    refund(run)
    sites = {str(seen.site): seen.facts for seen in list_sites(run.trace.events)}
    process = {"restartable": True, "can": ["disconnect", "request", "second-worker"]}
    assert sites["process@tool:payments.refund#1"] == {"effect": True, **process}
    assert sites["process@tool:orders.lookup#1"] == {"effect": False, **process}
    assert sites["store:commit#1.before"] == {"phase": "before"}
    assert sites["store:commit#1.after"] == {"phase": "after"}
    assert (sites["llm#1"]["called"], sites["llm#1"]["pure"], sites["llm#1"]["calls"]) == (False, False, 1)
    assert (sites["llm#2"]["called"], sites["llm#2"]["pure"]) == (True, True)
    assert (sites["llm#3"]["called"], sites["llm#3"]["pure"], sites["llm#3"]["calls"]) == (True, False, 0)
    assert sites["process@llm#2"] == {"answered": True, "first": False, **process}
    bare = [event for event in run.trace.events if not isinstance(event, StoreCommitted)]
    assert {seen.site.seam for seen in list_sites(bare) if seen.site.process} == {"tool", "llm"}
    bare = [event for event in bare if not isinstance(event, AgentStarted)]
    assert not any(seen.facts["restartable"] for seen in list_sites(bare) if seen.site.process)


# Store.


def struck(run):
    return [event.detail for event in run.trace.of(FaultApplied)]


@pytest.mark.parametrize(
    ("schedule", "written"),
    [("store-busy@store:commit#3.before", 2), ("commit-acknowledgement-lost@store:commit#3.after", 3)],
)
def test_a_commit_that_fails(run_under, schedule, written):
    run = run_under(schedule)
    try:
        outcome = refund(run).outcome
    except AgentError as error:
        # The runtime may end with the error of its store, or try the commit again.
        assert error.code == "store"  # noqa: PT017
        outcome = "failed"
    (said,) = struck(run)
    assert said.startswith(f"the commit failed {'before anything' if written == 2 else 'after it'} was written: ")
    assert run.sandbox.ledger.count("payments.refund") == (1 if outcome == "success" else 0)
    done = [event for event in run.trace.of(StoreCommitted) if event.site.endswith(".after")]
    assert len(done) >= written
    assert list(run.trace.of(OutcomeClaimed))[-1].outcome == outcome


@pytest.mark.parametrize("schedule", ["store-slow@store:commit#3.before", "store-answer-late@store:commit#3.after"])
def test_a_slow_commit(run_under, schedule):
    run = run_under(schedule)
    assert refund(run).outcome == "success"
    assert struck(run) == ["the store was 1 s late"]
    assert run.clock.elapsed_s == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("store-busy", "before"),
        ("store-slow", "before"),
        ("commit-acknowledgement-lost", "after"),
        ("store-answer-late", "after"),
    ],
)
def test_on_which_side_of_a_commit(name, phase):
    effect = load_catalogue()[name].effect
    tried = [other for other in ("before", "after") if list(effect.variants({"phase": other}, ()))]
    assert tried == [phase]


# Events.


DELIVERIES = [
    Delivered(Site("event", "paid"), "bank", "e1", "paid", {"amount": 20}, 1.0),
    Delivered(Site("event", "booked"), "bank", "e2", "booked", {}, 5.0),
]


def changed(name, at=0):
    return load_catalogue()[name].effect.change(DELIVERIES, at)


def test_an_event_twice():
    first, second, third = changed("event-duplicated")
    assert (first, third) == tuple(DELIVERIES)
    assert (second.source, second.event_id, second.payload, second.delay_s) == ("bank", "e1", {"amount": 20}, 3.0)


def test_an_event_overtaken():
    assert [(event.event_id, event.delay_s) for event in changed("event-reordered")] == [("e2", 1.0), ("e1", 5.0)]
    assert changed("event-reordered", at=1) == DELIVERIES
    effect = load_catalogue()["event-reordered"].effect
    assert list(effect.variants({"followed": True}, ())) == [effect]


def test_an_event_that_nobody_asked_for():
    stranger, *rest = changed("event-unknown", at=1)[1:]
    assert (stranger.source, stranger.kind, stranger.delay_s) == ("bank", "account.renamed", 5.0)
    assert stranger.event_id not in {event.event_id for event in DELIVERIES}
    assert [(event.event_id, event.delay_s) for event in rest] == [("e2", 0.0)]


@pytest.mark.parametrize(("control", "delay_s"), [("event-late", 3.0), ("event-much-later", 61.0)])
def test_a_late_event(control, delay_s):
    first, second = changed(control)
    assert (first.event_id, first.delay_s) == ("e1", delay_s)
    assert second == DELIVERIES[1]


def test_an_event_that_says_more():
    first, _ = changed("event-with-more")
    assert first.payload == {"sent_by": "webhooks/2", "amount": 20}


@pytest.mark.parametrize(
    "name", ["event-duplicated", "event-reordered", "event-unknown", "event-late", "event-with-more"]
)
def test_what_was_to_be_delivered_stays_as_it_is(name):
    before = list(DELIVERIES)
    assert changed(name) is not DELIVERIES
    assert before == DELIVERIES
