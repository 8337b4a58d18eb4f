"""The author's functions as tools: called as functions are, recorded, checked, committed once."""

import asyncio
import datetime
import enum
import functools
import json
import threading
from typing import Annotated

import httpx
import pytest
from pydantic import Field

from pytest_agent import call
from pytest_agent.errors import ProcessDied, WorldDiffers
from pytest_agent.trace import AssertionFailed, EffectCommitted, OutcomeClaimed, ToolCalled, ToolReplied, WorldChecked

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()


def on_disk(sandbox):
    path = sandbox.ledger.path
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def called(run):
    return [event.site for event in run.trace.of(ToolCalled)]


def test_an_effect_is_on_disk_before_the_tool_answers(run_under):
    sandbox = run_under().sandbox

    @sandbox.tool("payments.refund", effect=True)
    def refund(order: int, amount: int = 5):
        assert on_disk(sandbox) == []
        return {"refunded": amount}

    @sandbox.tool("orders.lookup")
    def lookup(order: int):
        return "found"

    assert refund(order=7, amount=20) == {"refunded": 20}
    assert lookup(order=7) == "found"
    assert on_disk(sandbox) == [
        {"n": 1, "tool": "payments.refund", "arguments": {"order": 7, "amount": 20}, "key": None}
    ]
    assert sandbox.ledger.count("payments.refund", order=7) == 1
    assert sandbox.ledger.count("payments.refund", order=8) == 0
    assert str(sandbox.ledger.entries[0]) == "ledger 1: payments.refund(amount=20, order=7) key=none"


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("async_", [True, False])
def test_keys(run_under, idempotent, async_):
    run = run_under()
    ran = []

    def work(order):
        ran.append(order)
        return {"refund": len(ran)}

    if async_:

        @run.sandbox.tool("refund", effect=True, idempotent=idempotent)
        async def atool(order: int):
            return work(order)

        def tool(**arguments):
            return asyncio.run(atool(**arguments))

    else:

        @run.sandbox.tool("refund", effect=True, idempotent=idempotent)
        def tool(order: int):
            return work(order)

    first = tool(order=7, idempotency_key="k")
    again = tool(order=7, idempotency_key="k")
    other = tool(order=8, idempotency_key="k")
    new = tool(order=7, idempotency_key="l")

    if idempotent:
        assert again == first == {"refund": 1}
        assert other == {"status": "invalid_input", "error_code": "idempotency_key_reused"}
        assert new == {"refund": 2}
        assert [(entry.arguments, entry.key) for entry in run.sandbox.ledger] == [
            ({"order": 7}, "k"),
            ({"order": 7}, "l"),
        ]
    else:
        assert len(ran) == len(run.sandbox.ledger) == 4


def test_two_attempts_under_one_key_at_once_are_one_effect(run_under):
    """A hedge: both run, and whoever comes second changes nothing and gets the reply of the first."""
    run = run_under()
    replies = iter(["first", "second"])

    @run.sandbox.tool("refund", effect=True, idempotent=True)
    async def refund(order: int):
        mine = next(replies)
        await asyncio.sleep(1)
        return mine

    async def hedge():
        return await asyncio.gather(refund(order=7, idempotency_key="k"), refund(order=7, idempotency_key="k"))

    with run.inside():
        assert asyncio.run(hedge()) == ["first", "first"]
    assert len(run.sandbox.ledger) == 1
    assert called(run) == ["tool:refund#1", "tool:refund#1/2"]


@pytest.mark.parametrize(
    ("args", "arguments", "said"),
    [
        ((), {}, "order: Field required"),
        ((), {"order": "7"}, "order: Input should be a valid integer"),
        ((), {"order": None}, "order: Input should be a valid integer"),
        ((), {"order": 7.0}, "order: Input should be a valid integer"),
        ((), {"order": True}, "order: Input should be a valid integer"),
        ((), {"order": 7, "ordre": 8}, "ordre: Extra inputs are not permitted"),
        ((), {"order": 7, "amount": -1}, "amount: Input should be greater than 0"),
        ((7,), {"order": 7}, "order: given twice, by position and by name"),
        ((7, 5, 3), {}, "takes 2 argument(s) by position, 3 were given"),
    ],
)
@pytest.mark.parametrize("async_", [True, False])
def test_a_call_that_is_not_valid_does_not_run(run_under, args, arguments, said, async_):
    run = run_under()
    ran = []

    def refund(order: int, amount: Annotated[int, Field(gt=0)] = 1):
        ran.append(order)

    async def arefund(order: int, amount: Annotated[int, Field(gt=0)] = 1):
        ran.append(order)

    tool = run.sandbox.tool("refund", effect=True)(arefund if async_ else refund)
    with pytest.raises(TypeError) as caught:
        asyncio.run(tool(*args, **arguments)) if async_ else tool(*args, **arguments)
    assert str(caught.value).startswith(f"refund: {said}")
    assert ran == []
    assert on_disk(run.sandbox) == []
    assert said in next(run.trace.of(ToolCalled)).problem
    assert next(run.trace.of(ToolReplied)).status == "error"


class Speed(enum.Enum):
    FAST = "fast"


def everything(
    order: int,
    price: float,
    day: datetime.date,
    speed: Speed,
    pair: tuple[int, int],
    json: dict,
    copy: bool,
    _note,
    model_config: str | None = None,
    late: int = None,  # noqa: RUF013 - as people write it
    *,
    only: str = "x",
):
    return (order, json, copy, _note, model_config)


def test_what_json_writes_in_its_own_way_is_valid(run_under):
    tool = run_under().sandbox.tool("everything")(everything)
    arguments = {
        "order": 7,
        "price": 3,
        "day": "2026-01-01",
        "speed": "fast",
        "pair": [1, 2],
        "json": {},
        "copy": True,
        "_note": [],
        "late": None,
    }
    assert tool(**arguments) == (7, {}, True, [], None)
    assert tool(**{**arguments, "day": datetime.date(2026, 1, 1), "speed": Speed.FAST, "pair": (1, 2)})
    with pytest.raises(TypeError, match="day"):
        tool(**{**arguments, "day": "soon"})
    with pytest.raises(TypeError, match="order"):
        tool(**{**arguments, "order": "7"})


def test_tools_are_called_as_functions_are(run_under):
    run = run_under()
    tool = run.sandbox.tool("refund", effect=True)(lambda order, amount=1, **more: (order, amount, more))
    assert tool(7) == (7, 1, {})
    assert tool(7, 20) == (7, 20, {})
    assert tool(7, amount=20, note="x") == (7, 20, {"note": "x"})
    assert run.sandbox.ledger.entries[2].arguments == {"order": 7, "amount": 20, "note": "x"}
    assert run.sandbox.tools["refund"](8)[0] == 8
    with pytest.raises(TypeError):
        run.sandbox.tools["other"] = tool


def test_what_can_be_a_tool(run_under):
    sandbox = run_under().sandbox

    class Service:
        def method(self, order: int):
            return order

        async def __call__(self, order: int):
            return order

    assert sandbox.tool("method")(Service().method)(order=7) == 7
    assert sandbox.tool("partial")(functools.partial(lambda order, amount: order, amount=3))(order=7) == 7
    assert asyncio.run(sandbox.tool("callable")(Service())(order=7)) == 7
    assert sandbox.tool("nameless")(lambda: 1)() == 1


def test_what_cannot_be_a_tool(run_under):
    sandbox = run_under().sandbox
    with pytest.raises(TypeError, match=r"tool 'a': parameter 'args' cannot be given by name"):
        sandbox.tool("a")(lambda *args: None)
    with pytest.raises(
        TypeError, match=r"a tool needs a name, found <function .*; write @sandbox.tool\('payments.refund'\)"
    ):
        sandbox.tool(lambda order: None)
    sandbox.tool("twice")(lambda: None)
    with pytest.raises(ValueError, match="tool 'twice' is there already"):
        sandbox.tool("twice")
    sneaky = sandbox.tool("sneaky", effect=True)(lambda: asyncio.sleep(0))
    with pytest.raises(TypeError, match="'sneaky' is no async function and returned a coroutine"):
        sneaky()
    assert len(sandbox.ledger) == 0


def test_a_type_that_is_local_to_the_test(run_under):
    namespace = {}
    exec(  # noqa: S102 - as in a module with `from __future__ import annotations`
        "from __future__ import annotations\n"
        "def outer():\n"
        "    class Local: pass\n"
        "    def tool(thing: Local, order: int): return order\n"
        "    return tool\n",
        namespace,
    )
    tool = run_under().sandbox.tool("tool")(namespace["outer"]())
    assert tool(thing=object(), order=7) == 7
    with pytest.raises(TypeError, match="order"):
        tool(thing=1, order="7")


def test_a_function_that_wants_the_key_is_given_it(run_under):
    run = run_under()

    @run.sandbox.tool("refund", effect=True)
    def refund(order: int, idempotency_key: str | None = None):
        return idempotency_key

    assert refund(order=7, idempotency_key="k") == "k"
    assert refund(order=7) is None
    assert [entry.arguments for entry in run.sandbox.ledger] == [{"order": 7}, {"order": 7}]


def test_a_tool_that_changes_what_it_is_given(run_under):
    run = run_under()

    @run.sandbox.tool("ship", effect=True)
    def ship(items: list):
        while items:
            items.pop()

    ship(items=["a", "b"])
    assert run.sandbox.ledger.count("ship", items=["a", "b"]) == 1
    assert next(run.trace.of(ToolCalled)).arguments == {"items": ["a", "b"]}
    assert next(run.trace.of(EffectCommitted)).arguments == {"items": ["a", "b"]}


def test_arguments_that_json_cannot_say(run_under):
    run = run_under()
    tool = run.sandbox.tool("odd", effect=True)(lambda thing: None)
    lock = threading.Lock()
    tool(thing={(1, 2): {lock}})
    assert run.sandbox.ledger.count("odd", thing={(1, 2): {lock}}) == 1
    assert on_disk(run.sandbox)[0]["arguments"]["thing"].keys() == {"(1, 2)"}


@pytest.mark.parametrize(
    ("value", "committed"),
    [
        (None, True),
        ("done", True),
        ({"status": "success"}, True),
        ({"status": "shipped"}, True),
        ({"status": ["odd"]}, True),
        ({"status": "temporary_error"}, False),
        ({"status": "permanent_error"}, False),
        ({"status": "invalid_input"}, False),
        ({"status": "error"}, False),
    ],
)
def test_what_counts_as_a_change_of_the_world(run_under, value, committed):
    run = run_under()
    tool = run.sandbox.tool("t", effect=True, idempotent=True)(lambda: value)
    assert tool(idempotency_key="k") == value
    assert len(run.sandbox.ledger) == committed


def test_a_tool_that_raises_has_changed_nothing(run_under):
    run = run_under()
    failing = [True]

    @run.sandbox.tool("t", effect=True, idempotent=True)
    def tool(order: int):
        if failing.pop() if failing else False:
            raise ValueError("out of stock")
        return "done"

    with pytest.raises(ValueError, match="out of stock"):
        tool(order=7, idempotency_key="k")
    assert len(run.sandbox.ledger) == 0
    assert tool(order=7, idempotency_key="k") == "done"
    assert called(run) == ["tool:t#1", "tool:t#1/2"]
    assert len(run.sandbox.ledger) == 1


def test_attempts_and_calls(run_under):
    run = run_under("reply-lost@tool:t#1; reply-lost@tool:t#1/2; reply-lost(how=reset)@tool:t#3")
    tool = run.sandbox.tool("t", effect=True)(lambda order: order)
    with run.inside():
        for _ in range(2):
            with pytest.raises(TimeoutError):
                tool(order=7)
        tool(order=7)
        tool(order=7)  # answered before: the same again is another use
        with pytest.raises(ConnectionResetError):
            tool(order=8)
        tool(order=9)
        tool(order=8)
        with pytest.raises(TypeError):
            tool(ordre=8)
    assert called(run) == [
        "tool:t#1",
        "tool:t#1/2",
        "tool:t#1/3",
        "tool:t#2",
        "tool:t#3",
        "tool:t#4",
        "tool:t#3/2",
        "tool:t#5",
    ]


def parallel(run_under, order, **more):
    """The sites of three calls that the model made in one turn, arriving in some order."""
    run = run_under()
    tool = run.sandbox.tool("payments.refund", effect=True)(_slow)
    run.llm.says([call("payments.refund", order=7), call("payments.refund", order=8), call("payments.refund", order=7)])
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **more}

    async def agent():
        return await asyncio.gather(*(tool(order=n) for n in order))

    with run.inside():
        HTTP.post(URL, json=body)
        asyncio.run(agent())
    return sorted((event.arguments["order"], event.site) for event in run.trace.of(ToolCalled))


async def _slow(order: int):
    await asyncio.sleep(1)
    return order


@pytest.mark.parametrize("stream", [True, False])
def test_parallel_calls_have_the_number_of_their_place_in_the_turn(run_under, stream):
    sites = [(7, "tool:payments.refund#1"), (7, "tool:payments.refund#3"), (8, "tool:payments.refund#2")]
    for order in ([7, 8, 7], [8, 7, 7], [7, 7, 8]):
        assert parallel(run_under, order, stream=stream) == sites


def test_places_go_on_from_turn_to_turn(run_under):
    run = run_under()
    tool = run.sandbox.tool("t")(lambda order: order)
    run.llm.says([call("t", order=1), call("t", order=2)], [call("t", order=1), call("t", order=2)])
    with run.inside():
        for _ in range(2):
            HTTP.post(URL, json={"model": "m", "messages": [{"role": "user", "content": "x"}]})
            tool(order=2)
            tool(order=1)
    assert called(run) == ["tool:t#2", "tool:t#1", "tool:t#4", "tool:t#3"]


def test_a_call_in_other_words_than_the_models(run_under):
    run = run_under()
    tool = run.sandbox.tool("t")(lambda order, note="": order)
    run.llm.says(call("t", order=1))
    with run.inside():
        HTTP.post(URL, json={"model": "m", "messages": [{"role": "user", "content": "x"}]})
        tool(order=1, note="of the agent's own")
        tool(order=5)
    assert called(run) == ["tool:t#1", "tool:t#2"]


def test_threads(run_under):
    run = run_under()
    tool = run.sandbox.tool("t", effect=True, idempotent=True)(lambda order: order)
    go = threading.Barrier(8)

    def work(n):
        go.wait()
        for order in range(20):
            tool(order=order, idempotency_key=f"key of {order}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.n for entry in run.sandbox.ledger] == list(range(1, 21))
    assert len(on_disk(run.sandbox)) == 20


@pytest.mark.parametrize("how", ["timeout", "reset"])
def test_a_lost_reply_of_an_async_tool(run_under, how):
    run = run_under(f"reply-lost(how={how})@tool:t")

    @run.sandbox.tool("t", effect=True)
    async def tool():
        return "done"

    with run.inside(), pytest.raises((TimeoutError, ConnectionResetError)) as caught:
        asyncio.run(tool())
    assert isinstance(caught.value, TimeoutError if how == "timeout" else ConnectionResetError)
    assert run.clock.elapsed_s == 30
    assert len(run.sandbox.ledger) == 1


def test_a_caller_that_stops_waiting_is_cancelled_and_nothing_else(run_under):
    run = run_under("reply-lost@tool:t")

    @run.sandbox.tool("t", effect=True)
    async def tool():
        return "done"

    async def agent():
        task = asyncio.ensure_future(tool())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await tool()

    run.seams.armed = (*run.seams.armed, *run_under("reply-lost@tool:t#1/2").seams.armed)
    with run.inside():
        asyncio.run(agent())
    assert run.clock.elapsed_s == 6
    assert [event.status for event in run.trace.of(ToolReplied)] == ["lost", "lost"]
    assert called(run) == ["tool:t#1", "tool:t#1/2"]


def test_a_caller_that_stops_waiting_while_the_tool_works(run_under):
    run = run_under()

    @run.sandbox.tool("t", effect=True)
    async def tool():
        await asyncio.sleep(10)

    async def agent():
        async with asyncio.timeout(5):
            await tool()

    with run.inside(), pytest.raises(TimeoutError):
        asyncio.run(agent())
    assert len(run.sandbox.ledger) == 0
    assert next(run.trace.of(ToolReplied)).status == "lost"


def test_a_dead_process_commits_nothing(run_under):
    run = run_under()

    @run.sandbox.tool("t", effect=True)
    async def tool():
        await asyncio.sleep(1)
        return "done"

    async def agent():
        task = asyncio.ensure_future(tool())
        await asyncio.sleep(0.5)
        run.seams.dead = True
        await asyncio.wait([task])
        return task.exception()

    with run.inside():
        assert isinstance(asyncio.run(agent()), ProcessDied)
    assert on_disk(run.sandbox) == []


def test_a_run_finds_no_effects_of_the_run_before_it_on_disk(run_under):
    first = run_under().sandbox
    first.tool("t", effect=True)(lambda: None)()
    assert len(on_disk(first)) == 1
    second = run_under().sandbox
    second.finish()
    assert on_disk(second) == []


def test_nothing_acts_after_the_run(run_under):
    run = run_under()
    tool = run.sandbox.tool("t", effect=True)(lambda: None)
    run.body_ended(None)
    with pytest.raises(RuntimeError, match="t tried to change the world after the run was over"):
        tool()


def test_the_folder_goes_with_the_run(run_under):
    run = run_under()
    folder = run.sandbox.folder
    assert folder is run.sandbox.folder
    assert list(folder.iterdir()) == []
    (folder / "db").write_text("x")
    run.body_ended(None)
    assert not folder.exists()


def test_what_must_hold_is_looked_at_when_the_run_is_over(run_under):
    run = run_under()
    tool = run.sandbox.tool("t", effect=True)(lambda: None)
    run.sandbox.must_hold("t was done", lambda: run.sandbox.ledger.count("t") == 1)
    run.sandbox.must_hold("the first is t", lambda: run.sandbox.ledger.entries[0].tool == "t")
    tool()
    run.body_ended(None)
    assert [(event.name, event.holds) for event in run.trace.of(WorldChecked)] == [
        ("t was done", True),
        ("the first is t", True),
    ]
    run.check(None)


@pytest.mark.parametrize("outcome", ["success", "failed"])
def test_a_success_that_is_none_fails_a_clean_run(run_under, outcome):
    run = run_under()
    run.sandbox.must_hold("t was done", lambda: run.sandbox.ledger.count("t") == 1)
    run.sandbox.must_hold("the first is t", lambda: run.sandbox.ledger.entries[0].tool == "t")
    run.trace.append(OutcomeClaimed(outcome=outcome, cause=None, detail="", errors=[], crash=False))
    run.body_ended(None)
    assert [event.holds for event in run.trace.of(WorldChecked)] == [False, False]
    assert "raised IndexError" in list(run.trace.of(WorldChecked))[1].detail
    if outcome == "success":
        with pytest.raises(WorldDiffers, match="claims success and 't was done' does not hold: the ledger is empty"):
            run.check(None)
    else:
        run.check(None)


# How a run ends, as the trace has it.


def test_what_the_test_raises_after_the_claim_is_not_lost(run_under):
    run = run_under()
    run.trace.append(OutcomeClaimed(outcome="success", cause=None, detail="", errors=[], crash=False))
    run.body_ended(KeyError("x"))
    assert [event.outcome for event in run.trace.of(OutcomeClaimed)] == ["success", "failed"]


def test_what_the_agent_raised_is_on_record_once(run_under):
    from pytest_agent.adapters.runner import AgentRunner

    run = run_under()

    def agent():
        raise TimeoutError("late")

    with pytest.raises(TimeoutError) as caught:
        AgentRunner(run.seams)(agent)
    run.body_ended(caught.value)
    assert [event.outcome for event in run.trace.of(OutcomeClaimed)] == ["failed"]


def test_a_failed_assertion_is_no_claim(run_under):
    run = run_under()
    run.body_ended(AssertionError("x != y"))
    assert next(run.trace.of(AssertionFailed)).detail == "x != y"
    assert not list(run.trace.of(OutcomeClaimed))


def test_randomness_is_that_of_the_seed_and_given_back(run_under):
    import random
    import uuid
    from uuid import uuid4

    random.seed(1)
    outside = random.getstate()

    def draw():
        run = run_under()
        drawn = []
        for _ in range(2):
            with run.inside():
                drawn += [random.random(), uuid.uuid4(), uuid4()]  # noqa: S311
        return drawn

    first, second = draw(), draw()
    assert first == second
    assert len(set(first)) == 6
    assert first[1].version == 4
    assert random.getstate() == outside
    assert uuid4() not in first
    assert uuid.os is __import__("os")


def test_tools_with_the_same_names_and_other_types_are_each_checked_by_their_own(sandbox):
    @sandbox.tool("a")
    def by_number(order: int):
        return order

    @sandbox.tool("b")
    def by_name(order: str):
        return order

    @sandbox.tool("c")
    def by_one_of(order: Annotated[int, Field(json_schema_extra={"no": ["key"]}, ge=5)]):
        return order

    assert (by_number(order=7), by_name(order="seven"), by_one_of(order=7)) == (7, "seven", 7)
    for tool, wrong in ((by_number, "seven"), (by_name, 7), (by_one_of, 3)):
        with pytest.raises(TypeError, match="order: Input should be"):
            tool(order=wrong)
