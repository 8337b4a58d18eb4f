"""Stand-ins for tools: what is made of a schema, and what counts as a tool."""

import asyncio
import inspect
from contextlib import ExitStack

import pytest

from pytest_agent.trial.stubs import Memory, StubTools, output_schemas, reads

ORDER = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "note": {"type": "string"}},
    "required": ["order"],
}


@pytest.fixture
def stubs(run_under):
    open_ = ExitStack()

    def make(*, clean=True, memory=None, schemas=None, outputs=None):
        run = run_under()
        open_.close()  # a process has one time
        open_.enter_context(run.inside())
        tools = StubTools(run.sandbox, memory or Memory(), clean=clean, seed=0)
        tools.learn({"refund": ORDER} if schemas is None else schemas, outputs or {})
        return tools, run

    yield make
    open_.close()


@pytest.mark.parametrize(
    "name", ["orders.lookup", "get_order", "getOrder", "order-search", "FindUser", "listURLs", "read"]
)
def test_names_that_say_they_change_nothing(name):
    assert reads(name)


@pytest.mark.parametrize("name", ["refund", "widget", "target_update", "cancel_list_item", "reader", "", "42"])
def test_names_that_do_not(name):
    assert not reads(name)


def test_a_stand_in_takes_what_its_schema_says(stubs):
    tools, run = stubs()
    assert tools.refund(order=7) == tools["refund"](7) == {"order": 7, "status": "ok"}
    assert tools.refund(7, note="now")["note"] == "now"
    assert run.sandbox.ledger.count("refund") == 3
    for wrong in ({"order": "7"}, {"order": 7, "more": 1}, {"note": "now"}):
        with pytest.raises(TypeError):
            tools.refund(**wrong)


@pytest.mark.parametrize(
    "schema", [{}, None, {"properties": {"a-b": {}}}, {"properties": {"class": {}}}, {"properties": []}]
)
def test_a_schema_that_python_cannot_say_takes_anything(stubs, schema):
    tools, _ = stubs(schemas={"refund": schema})
    assert tools["refund"](**{"a-b": 1})["a-b"] == 1


def test_a_key_makes_it_one_operation(stubs):
    tools, run = stubs()
    for _ in range(2):
        tools.refund(order=7, idempotency_key="one")
    assert run.sandbox.ledger.count("refund") == 1


def test_its_reply_is_of_the_schema_of_its_output(stubs):
    number = {"type": "object", "properties": {"price": {"const": 20}}, "required": ["price"]}
    declared = {"name": "refund", "parameters": ORDER, "response": number}
    outputs = output_schemas({"tools": [{"functionDeclarations": [declared]}]})
    tools, _ = stubs(outputs=outputs)
    assert tools.refund(order=7) == {"price": 20}
    tools, _ = stubs(outputs={"refund": {"const": 20}})
    assert tools.refund(order=7) == {"result": 20}


@pytest.mark.parametrize(
    "data", [{}, {"tools": 1}, {"tools": [1, {"functionDeclarations": 1}, {"function": {"name": "x"}}]}]
)
def test_requests_that_say_nothing_of_outputs(data):
    assert output_schemas(data) == {}


def test_under_faults_a_tool_is_what_is_declared_or_was_used(stubs):
    memory = Memory()
    tools, _ = stubs(memory=memory)
    tools.notify(text="x")
    tools, _ = stubs(memory=memory, clean=False)
    assert "notify" in tools
    assert "refund" in tools
    assert "refunds" not in tools
    assert list(tools) == ["refund"]
    with pytest.raises(KeyError):
        tools["refunds"]
    with pytest.raises(AttributeError, match="the agent has no tool 'refunds'"):
        tools.refunds(order=7)
    assert not hasattr(tools, "__fspath__")


def test_names_are_those_of_the_wire_whatever_their_punctuation(stubs):
    tools, run = stubs(schemas={"payments_refund": ORDER}, clean=False)
    tools["payments.refund"](order=7)
    assert run.sandbox.ledger.count("payments_refund") == 1


@pytest.mark.parametrize("how", ["await", "task", "gather"])
def test_a_reply_that_was_awaited_in_the_clean_run_is_awaited_in_the_others(stubs, how):
    async def use(tools):
        reply = tools.refund(order=7)
        match how:
            case "await":
                return await reply
            case "task":
                return await asyncio.create_task(reply)
            case _:
                return (await asyncio.gather(reply))[0]

    memory = Memory()
    tools, _ = stubs(memory=memory)
    assert asyncio.run(use(tools)) == {"order": 7, "status": "ok"}
    assert memory.awaited == {"refund"}
    tools, run = stubs(memory=memory, clean=False)
    assert inspect.iscoroutinefunction(run.sandbox.tools.get("refund")) is False
    assert asyncio.run(use(tools)) == {"order": 7, "status": "ok"}
    assert inspect.iscoroutinefunction(run.sandbox.tools["refund"])
