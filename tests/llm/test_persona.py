"""A persona ends tool loops by itself, over both wires and for any number of conversations."""

import asyncio
import json
from typing import Literal

import anthropic
import httpx
import openai
import pydantic
import pytest

from pytest_agent import Pace, Persona, UnansweredCall
from pytest_agent.llm.from_schema import value_for
from pytest_agent.llm.persona import schemas_of

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()
OPENAI = openai.AsyncOpenAI(api_key="k")
ANTHROPIC = anthropic.AsyncAnthropic(api_key="k")
SCHEMAS = {
    "orders_find": {
        "type": "object",
        "properties": {
            "order": {"type": "integer", "minimum": 5, "maximum": 9},
            "region": {"enum": ["eu", "us"]},
            "note": {"type": "string"},
        },
        "required": ["order", "region"],
    },
    "stock_check": {
        "type": "object",
        "properties": {"sku": {"type": "string", "examples": ["A-1"]}},
        "required": ["sku"],
    },
    "mail_send": {"type": "object", "properties": {}},
}
FOR_OPENAI = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in SCHEMAS.items()]
FOR_ANTHROPIC = [{"name": n, "input_schema": s} for n, s in SCHEMAS.items()]


async def openai_agent(key, question="Where is my order?", history=None, **more):
    """A plain tool loop; what it called, turn by turn, and the answer."""
    client = OPENAI.with_options(api_key=key)
    history = [] if history is None else history
    history.append({"role": "user", "content": question})
    called = []
    while True:
        reply = await client.chat.completions.create(model="gpt-5", messages=history, tools=FOR_OPENAI, **more)
        message = reply.choices[0].message
        history.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return called, message.content
        called.append([(made.function.name, json.loads(made.function.arguments)) for made in message.tool_calls])
        history += [{"role": "tool", "tool_call_id": made.id, "content": "ok"} for made in message.tool_calls]


async def anthropic_agent(key, *, reminder=False, **more):
    client = ANTHROPIC.with_options(api_key=key)
    history = [{"role": "user", "content": "Where is my order?"}]
    called = []
    while True:
        async with client.messages.stream(
            model="claude-sonnet-5-5", max_tokens=999, messages=history, tools=FOR_ANTHROPIC, **more
        ) as stream:
            message = await stream.get_final_message()
        uses = [block for block in message.content if block.type == "tool_use"]
        history.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]}
        )
        if not uses:
            return called, message.content[0].text
        called.append([(use.name, use.input) for use in uses])
        results = [{"type": "tool_result", "tool_use_id": use.id, "content": "ok"} for use in uses]
        more_text = [{"type": "text", "text": "Remember to be brief."}] if reminder else []
        history.append({"role": "user", "content": results + more_text})


@pytest.mark.parametrize("agent", [openai_agent, anthropic_agent])
def test_each_tool_once_with_arguments_that_its_schema_takes_and_then_an_answer(run_under, agent):
    run = run_under()
    run.llm.answers_with(Persona())
    with run.inside():
        called, answer = asyncio.run(agent("k"))
    assert [[name for name, _ in turn] for turn in called] == [["orders_find"], ["stock_check"], ["mail_send"]]
    order = called[0][0][1]
    assert set(order) == {"order", "region"}
    assert 5 <= order["order"] <= 9
    assert order["region"] == "eu"
    assert called[1][0][1] == {"sku": "A-1"}
    assert called[2][0][1] == {}
    assert len(answer.split()) == 12


@pytest.mark.parametrize("agent", [openai_agent, anthropic_agent])
def test_all_calls_in_one_turn_where_it_may(run_under, agent):
    run = run_under()
    run.llm.answers_with(Persona(parallel=True, answer="Done."))
    one_by_one = (
        {"parallel_tool_calls": False}
        if agent is openai_agent
        else {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    )
    with run.inside():
        called, answer = asyncio.run(agent("k"))
        assert ([len(turn) for turn in called], answer) == ([3], "Done.")
        called, _ = asyncio.run(agent("k", **one_by_one))
        assert [len(turn) for turn in called] == [1, 1, 1]


def test_only_the_tools_it_needs_in_its_own_order_and_with_given_arguments(run_under):
    run = run_under()
    run.llm.answers_with(Persona(tools=["mail.send", "orders.find"], arguments={"orders.find": {"order": 1}}))
    with run.inside():
        called, _ = asyncio.run(openai_agent("k"))
    assert called == [[("mail_send", {})], [("orders_find", {"order": 1})]]


def test_a_new_question_begins_anew_and_a_reminder_beside_results_does_not(run_under):
    run = run_under()
    run.llm.answers_with(Persona(tools=["mail_send", "stock_check"]))
    history = []
    with run.inside():
        first, _ = asyncio.run(openai_agent("k", history=history))
        second, _ = asyncio.run(openai_agent("k", "And now?", history))
        assert len(first) == len(second) == 2
        reminded, _ = asyncio.run(anthropic_agent("k", reminder=True))
        assert len(reminded) == 2


def test_a_model_that_may_not_call_tools_answers(run_under):
    run = run_under()
    run.llm.answers_with(Persona(answer="Done."))
    with run.inside():
        assert asyncio.run(openai_agent("k", tool_choice="none")) == ([], "Done.")


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_an_agent_that_asks_for_structured_output_gets_it(run_under, client):
    class Verdict(pydantic.BaseModel):
        paid: Literal["yes", "no"]
        amount: int = pydantic.Field(ge=10, le=20)

    run = run_under()
    run.llm.answers_with(Persona())
    messages = [{"role": "user", "content": "?"}]

    async def parsed():
        if client == "openai":
            reply = await OPENAI.chat.completions.parse(model="gpt-5", messages=messages, response_format=Verdict)
            return reply.choices[0].message.parsed
        more = {"model": "claude-sonnet-5-5", "max_tokens": 99, "messages": messages}
        return (await ANTHROPIC.messages.parse(**more, output_format=Verdict)).parsed_output

    with run.inside():
        verdict = asyncio.run(parsed())
    assert verdict.paid == "yes"
    assert 10 <= verdict.amount <= 20


def test_fifty_conversations_at_once_over_both_wires_the_same_in_every_run(run_under):
    def heard():
        run = run_under()
        run.llm.answers_with(Persona(parallel=True, pace=Pace(0.3, 0.01, gap_deviation_s=0.005)))
        for n in range(50):
            run.llm.conversation(f"k{n}")

        async def all_of_them():
            agents = ((openai_agent, anthropic_agent)[n % 2](f"k{n}") for n in range(50))
            return await asyncio.gather(*agents)

        with run.inside():
            results = asyncio.run(all_of_them())
        run.body_ended(None)
        run.check(None)
        sites = sorted(request.site for request in run.llm.requests)
        return results, sites, run.llm.usage, run.clock.elapsed_s

    first, second = heard(), heard()
    assert first == second
    results, sites, usage, elapsed_s = first
    assert all(len(called) == 1 and len(called[0]) == 3 for called, _ in results)
    assert sites == sorted(f"llm[k{n}]#{turn}" for n in range(50) for turn in (1, 2))
    assert (usage.calls, usage.requests) == (100, 100)
    assert elapsed_s > 0.6


def test_a_tool_that_the_agent_does_not_declare_fails_the_test(run_under):
    run = run_under()
    run.llm.answers_with(Persona(tools=["orders_fnd"]))
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": FOR_OPENAI}
    with run.inside(), pytest.raises(UnansweredCall) as caught:
        HTTP.post(URL, json=body)
    assert (
        "the persona needs the tool 'orders_fnd', which the agent does not declare. Did you mean 'orders_find'"
        in str(caught.value)
    )


def test_arguments_that_cannot_be_made_say_which(run_under):
    run = run_under()
    run.llm.answers_with(Persona())
    schema = {"type": "object", "properties": {"iban": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{20}$"}}}
    tools = [{"type": "function", "function": {"name": "pay", "parameters": {**schema, "required": ["iban"]}}}]
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": tools}
    with run.inside(), pytest.raises(UnansweredCall) as caught:
        HTTP.post(URL, json=body)
    assert (
        "the arguments of 'pay' cannot be made: iban must match '^[A-Z]{2}[0-9]{20}$'; give its schema an example, "
        "or give the persona the arguments"
    ) in str(caught.value)


def test_schemas_are_read_from_every_form_of_declaration():
    schema = {"type": "object"}
    forms = [
        {"type": "function", "function": {"name": "a", "parameters": schema}},
        {"type": "function", "name": "b", "parameters": schema},
        {"name": "c", "input_schema": schema},
        {"functionDeclarations": [{"name": "d", "parameters": schema}, {"name": "e", "parametersJsonSchema": schema}]},
        {"googleSearch": {}},
        {"type": "function", "function": {"name": "f"}},
    ]
    assert schemas_of({"tools": forms}) == dict.fromkeys("abcdef", schema)
    assert schemas_of({}) == {}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 3}, 3),
        ({"type": "string", "default": "d", "enum": ["x", "y"]}, "d"),
        ({"enum": ["x", "y"]}, "x"),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, 1),
        ({"type": ["null", "string"], "format": "date"}, "2026-01-15"),
        ({"type": "STRING", "format": "email"}, "sam@example.com"),
        ({"type": "array", "items": {"const": 1}, "minItems": 2}, [1, 1]),
        ({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6}, 5),
        ({"type": "integer", "multipleOf": 5, "minimum": 11, "maximum": 15}, 15),
        ({"type": "integer", "maximum": -3, "minimum": -3}, -3),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": "a"}}}, "a"),
        ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {}}}]}, {"a": 1}),
        ({"type": "null"}, None),
        ({"required": ["x"], "properties": {"x": {"type": "object", "properties": {"y": {}}}}}, {"x": {}}),
    ],
)
def test_a_value_comes_from_what_the_schema_offers(schema, value):
    assert value_for(schema, "seed") == value


def test_a_value_depends_on_the_seed_alone_and_keeps_to_lengths():
    schema = {"type": "string", "minLength": 30, "maxLength": 33}
    made = [value_for(schema, f"seed {n}") for n in range(20)]
    assert made == [value_for(schema, f"seed {n}") for n in range(20)]
    assert len(set(made)) > 10
    assert all(30 <= len(text) <= 33 for text in made)


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$ref": "#/$defs/gone"}, "refers to '#/\\$defs/gone', which is not in the schema"),
        ({"$ref": "#"}, "refers to itself without end"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "nested more than 20 levels"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "must match"),
    ],
)
def test_a_schema_without_a_value_says_why(schema, problem):
    with pytest.raises(ValueError, match=problem):
        value_for(schema, "seed")
