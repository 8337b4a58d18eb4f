"""The real `openai` SDK, every way it asks, against the scripted model."""

import asyncio
import json

import httpx
import httpx2
import openai
import pytest

from pytest_agent import Turn, Usage, call

# Made long before any fixture: agents build their clients at import.
SYNC = openai.OpenAI(api_key="test")
ASYNC = openai.AsyncOpenAI(api_key="test")
USER = [{"role": "user", "content": "hello"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("orders_lookup", "payments-refund")
]


@pytest.fixture(params=["before", "after"])
def client(request, llm):
    return SYNC if request.param == "before" else openai.OpenAI(api_key="test")


def test_text(client, llm):
    llm.says("Hello, world.")

    reply = client.chat.completions.create(model="gpt-5", messages=USER)

    assert reply.choices[0].message.content == "Hello, world."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == "gpt-5"


async def test_async_text(llm):
    llm.says("Hello.")
    reply = await ASYNC.chat.completions.create(model="gpt-5", messages=USER)
    assert reply.choices[0].message.content == "Hello."


def test_parallel_tool_calls_under_the_names_the_agent_declared(client, llm):
    llm.says([call("orders.lookup", order=7), call("payments.refund", order=7, amount=20)])

    reply = client.chat.completions.create(model="gpt-5", messages=USER, tools=TOOLS)

    calls = reply.choices[0].message.tool_calls
    assert [c.function.name for c in calls] == ["orders_lookup", "payments-refund"]
    assert [json.loads(c.function.arguments) for c in calls] == [{"order": 7}, {"order": 7, "amount": 20}]
    assert len({c.id for c in calls}) == 2
    assert reply.choices[0].finish_reason == "tool_calls"


def test_streamed_pieces_add_up(client, llm):
    llm.says(
        Turn(text="I look\nit  up: äöü 👋 ", calls=(call("orders.lookup", order=7), call("payments.refund", a="ü")))
    )

    text, calls, reasons = "", {}, []
    for chunk in client.chat.completions.create(model="gpt-5", messages=USER, stream=True):
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        for piece in choice.delta.tool_calls or []:
            known = calls.setdefault(piece.index, ["", ""])
            known[0] += piece.function.name or ""
            known[1] += piece.function.arguments or ""
        reasons.append(choice.finish_reason)

    assert text == "I look\nit  up: äöü 👋 "
    assert {index: (name, json.loads(arguments)) for index, (name, arguments) in calls.items()} == {
        0: ("orders.lookup", {"order": 7}),
        1: ("payments.refund", {"a": "ü"}),
    }
    assert [reason for reason in reasons if reason] == ["tool_calls"]


async def test_async_stream(llm):
    llm.says("one two three")
    stream = await ASYNC.chat.completions.create(model="gpt-5", messages=USER, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "one two three"


def test_the_stream_helper(client, llm):
    llm.says(Turn(text="Looking.", calls=(call("orders_lookup", order=7), call("payments-refund"))))

    with client.chat.completions.stream(model="gpt-5", messages=USER, tools=TOOLS) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()

    assert {"content.delta", "content.done", "tool_calls.function.arguments.done"} <= kinds
    assert final.choices[0].message.content == "Looking."
    assert [c.function.name for c in final.choices[0].message.tool_calls] == ["orders_lookup", "payments-refund"]


async def test_the_async_stream_helper(llm):
    llm.says("Looking.")
    async with ASYNC.chat.completions.stream(model="gpt-5", messages=USER) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "Looking."


def test_usage_comes_last_and_only_when_asked_for(client, llm):
    llm.says(Turn(text="Hi.", usage=Usage(11, 3)), "Hi again.")

    asked = list(
        client.chat.completions.create(
            model="gpt-5", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    silent = list(client.chat.completions.create(model="gpt-5", messages=USER, stream=True))

    assert asked[-1].choices == []
    assert (asked[-1].usage.prompt_tokens, asked[-1].usage.completion_tokens, asked[-1].usage.total_tokens) == (
        11,
        3,
        14,
    )
    assert all(chunk.usage is None for chunk in [*asked[:-1], *silent])


def test_usage_of_a_plain_reply(client, llm):
    llm.says(Turn(text="Hi.", usage=Usage(11, 3)))
    assert client.chat.completions.create(model="gpt-5", messages=USER).usage.total_tokens == 14


@pytest.mark.parametrize(
    "base_url",
    [
        "http://llm.example/v1",
        "https://llm.example/v1/",
        "https://llm.example:8443/openai/deployments/x/",
        "http://127.0.0.1:9",
    ],
)
def test_any_base_url(llm, base_url):
    llm.says("Hi.")
    own = openai.OpenAI(api_key="test", base_url=base_url)
    assert own.chat.completions.create(model="gpt-5", messages=USER).choices[0].message.content == "Hi."


def test_a_shared_async_client_over_several_event_loops(llm):
    llm.says("one", "two", "three")

    async def ask(word):
        reply = await ASYNC.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": word}])
        return reply.choices[0].message.content

    assert [asyncio.run(ask(word)) for word in "abc"] == ["one", "two", "three"]


def test_what_the_provider_would_refuse_is_refused(client, llm):
    llm.says("Hi.")
    with pytest.raises(openai.BadRequestError, match="Invalid 'messages'"):
        client.chat.completions.create(model="gpt-5", messages=[])
    with pytest.raises(openai.BadRequestError, match="robot"):
        client.chat.completions.create(model="gpt-5", messages=[{"role": "robot", "content": "x"}])
    # The script is not used up by what was never a question.
    assert client.chat.completions.create(model="gpt-5", messages=USER).choices[0].message.content == "Hi."


def test_headers_are_in_no_event(llm, run):
    llm.says("Hi.")
    openai.OpenAI(api_key="sk-canary", default_headers={"x-secret": "canary"}).chat.completions.create(
        model="gpt-5", messages=USER
    )
    assert "canary" not in run.describe()


def test_half_a_surrogate_pair_stays_valid_on_the_wire(client, llm):
    llm.says("\ud83d", "\ud83d")
    assert client.chat.completions.create(model="gpt-5", messages=USER).choices[0].message.content == "\ud83d"
    stream = client.chat.completions.create(model="gpt-5", messages=USER, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "\ud83d"


BODY = {"model": "gpt-5", "messages": USER, "stream": True}
URL = "https://llm.example/v1/chat/completions"


@pytest.mark.parametrize("lib", [httpx, httpx2])
def test_plain_clients(llm, lib):
    llm.says("one", "two")
    with lib.Client() as http:
        reply = http.post(URL, json={**BODY, "stream": False})
        assert reply.json()["choices"][0]["message"]["content"] == "one"
        assert int(reply.headers["content-length"]) == len(reply.content)
        with http.stream("POST", URL, json=BODY) as streamed:
            lines = [line for line in streamed.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: ") for line in lines)


@pytest.mark.parametrize("lib", [httpx, httpx2])
def test_a_plain_reply_can_be_read_raw(llm, lib):
    llm.says("one")
    with lib.Client() as http, http.stream("POST", URL, json={**BODY, "stream": False}) as reply:
        assert json.loads(b"".join(reply.iter_raw()))["choices"][0]["message"]["content"] == "one"


@pytest.mark.parametrize("lib", [httpx, httpx2])
async def test_plain_async_clients(llm, lib):
    llm.says("one", "two")
    async with lib.AsyncClient() as http:
        reply = await http.post(URL, json={**BODY, "stream": False})
        assert reply.json()["choices"][0]["message"]["content"] == "one"
        async with http.stream("POST", URL, json=BODY) as streamed:
            lines = [line async for line in streamed.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_a_turn_is_on_record_before_the_agent_can_act_on_its_end(llm, run):
    """An agent that acts on the finish reason, with [DONE] unread, acts on a complete turn."""
    llm.says(call("refund"))
    for chunk in SYNC.chat.completions.create(model="gpt-5", messages=USER, stream=True):
        if chunk.choices[0].finish_reason:
            assert [event.kind for event in run.trace.events][-2:] == ["model_requested", "model_replied"]
            assert run.trace.events[-1].end == "complete"


def test_a_stream_that_nobody_reads_is_closed_on_record(llm, run):
    llm.says("one two")
    with httpx.Client() as http, http.stream("POST", URL, json=BODY):
        pass
    assert run.trace.events[-1].end == "closed"
    assert run.trace.events[-1].delivered == 0
