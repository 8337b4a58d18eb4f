"""The Anthropic client against replies written by hand, the SDK's own types, and the scripted model of the harness."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from anthropic.types import MessageParam, OutputConfigParam
from anthropic.types.tool_param import ToolParam
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.models.anthropic_messages import AnthropicMessages
from agentfsm.turns import Message, ModelRequest, ToolCall, Usage

REQUEST = ModelRequest(
    key="r1:1",
    messages=(Message(role="system", text="Be brief."), Message(role="user", text="hi")),
    tools=({"name": "orders.lookup", "description": "Look up.", "parameters": {"type": "object"}},),
)


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, **part: Any) -> bytes:
    return event("content_block_delta", index=index, delta=part)


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def end(reason: str | None = "end_turn", tokens: int = 7) -> bytes:
    ended = event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": tokens})
    return ended + event("message_stop")


BEGIN = event("message_start", message={"usage": {"input_tokens": 5, "output_tokens": 1}})
TEXT = start(0, type="text", text="") + delta(0, type="text_delta", text="Hel") + delta(0, type="text_delta", text="lo")
THOUGHT = start(0, type="thinking", thinking="") + delta(0, type="thinking_delta", thinking="hm") + stop(0)
CALL = (
    start(1, type="tool_use", id="t1", name="orders_lookup", input={})
    + delta(1, type="input_json_delta", partial_json='{"order"')
    + delta(1, type="input_json_delta", partial_json=": 7}")
    + stop(1)
)


def ask(reply: Any, request: ModelRequest = REQUEST, **options: Any) -> Any:
    sent: list[httpx.Request] = []

    def answer(got: httpx.Request) -> httpx.Response:
        sent.append(got)
        return reply if isinstance(reply, httpx.Response) else streamed(reply)

    async def main() -> Any:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            model = AnthropicMessages(client, model="claude-opus-5", api_key="k", **options)
            return await model.complete(request), sent[-1]

    return asyncio.run(main())


def turn_or_error(body: bytes) -> Any:
    try:
        return ask(body)[0]
    except ModelError as error:
        return error


def streamed(body: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)


def test_a_stream_becomes_one_turn_with_text_calls_and_usage():
    turn, _ = ask(BEGIN + THOUGHT + CALL + end("tool_use"))
    assert turn.calls == (ToolCall(id="t1", name="orders.lookup", arguments='{"order": 7}'),)
    assert (turn.text, turn.finish, turn.usage) == ("", "tool_calls", Usage(input_tokens=5, output_tokens=7))
    turn, _ = ask(BEGIN + event("ping") + TEXT + stop(0) + end())
    assert (turn.text, turn.finish) == ("Hello", "stop")


def test_a_whole_message_becomes_the_same_turn():
    content = [
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "t1", "name": "orders_lookup", "input": {}},
    ]
    body = {"type": "message", "content": content, "stop_reason": "tool_use", "usage": {"input_tokens": 1}}
    turn, _ = ask(httpx.Response(200, json=body), stream=False)
    assert (turn.text, turn.calls[0].arguments, turn.usage) == ("Hello", "{}", None)


def test_the_input_of_a_call_without_arguments_is_an_object():
    nothing = start(0, type="tool_use", id="t", name="orders_lookup", input={}) + stop(0)
    turn, _ = ask(BEGIN + nothing + end("tool_use"))
    assert turn.calls[0].arguments == "{}"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "length"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_every_stop_reason_has_its_end(reason, finish):
    assert ask(BEGIN + TEXT + stop(0) + end(reason))[0].finish == finish


def test_a_refusal_is_for_good_and_an_unknown_reason_is_no_end():
    with pytest.raises(ModelError) as refused:
        ask(BEGIN + TEXT + stop(0) + end("refusal"))
    assert (refused.value.code, refused.value.transient) == ("refused", False)
    with pytest.raises(IncompleteTurn):
        ask(BEGIN + TEXT + stop(0) + end("tired"))
    with pytest.raises(IncompleteTurn):
        ask(BEGIN + TEXT + stop(0) + end("tool_use"))


def test_a_stream_cut_anywhere_is_incomplete_or_whole():
    whole = BEGIN + THOUGHT + CALL + end("tool_use")
    expected, _ = ask(whole)
    found = {cut: turn_or_error(whole[:cut]) for cut in range(len(whole))}
    complete = [cut for cut, turn in found.items() if turn == expected]
    assert set(complete) <= {len(whole) - 1, len(whole) - 2}  # only the line break after the last event may be missing
    assert all(found[cut].transient for cut in found if cut not in complete)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_chunks_may_be_cut_anywhere(data):
    whole = BEGIN + TEXT + stop(0) + CALL + end("tool_use")
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=12)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self):
            for part in parts:
                yield part

    reply = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces())
    assert ask(reply)[0] == ask(whole)[0]


def test_an_error_in_the_stream_is_the_providers():
    overloaded = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    with pytest.raises(ModelError) as raised:
        ask(BEGIN + TEXT + overloaded)
    assert (raised.value.code, raised.value.transient) == ("overloaded", True)


@pytest.mark.parametrize(
    ("status", "kind", "code", "transient"),
    [
        (529, "overloaded_error", "overloaded", True),
        (429, "rate_limit_error", "rate_limit", True),
        (401, "authentication_error", "authentication", False),
        (400, "invalid_request_error", "bad_request", False),
        (500, "api_error", "server_error", True),
    ],
)
def test_errors_are_told_apart(status, kind, code, transient):
    body = {"type": "error", "error": {"type": kind, "message": "no"}}
    with pytest.raises(ModelError) as raised:
        ask(httpx.Response(status, json=body, headers={"retry-after": "3"}))
    assert (raised.value.code, raised.value.transient) == (code, transient)
    assert raised.value.retry_after_s == (3.0 if transient else None)


def test_what_is_sent_satisfies_the_types_of_the_sdk():
    call = ToolCall(id="t1", name="orders.lookup", arguments='{"order": 7}')
    history = (
        Message(role="assistant", text="", calls=(call,)),
        Message(role="tool", text="{}", call_id="t1"),
        Message(role="user", text="and?"),
        Message(role="assistant", text="  "),
        Message(role="user", text="well?"),
    )
    request = REQUEST.model_copy(update={"messages": REQUEST.messages + history})
    _, sent = ask(BEGIN + TEXT + stop(0) + end(), request)
    body = json.loads(sent.content)
    TypeAdapter(list[MessageParam]).validate_python(body["messages"])
    TypeAdapter(list[ToolParam]).validate_python(body["tools"])
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text", "text"]
    assert (body["system"], body["tools"][0]["name"]) == ("Be brief.", "orders_lookup")
    assert (sent.headers["x-api-key"], sent.headers["idempotency-key"]) == ("k", "r1:1")
    assert sent.headers["anthropic-version"] == "2023-06-01"


def test_an_answer_of_a_schema_is_asked_for_the_providers_way():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    _, sent = ask(BEGIN + TEXT + stop(0) + end(), REQUEST.model_copy(update={"answer": schema}))
    config = json.loads(sent.content)["output_config"]
    TypeAdapter(OutputConfigParam).validate_python(config)
    number = {"type": "integer", "description": "At least 1."}
    bound = {"type": "object", "properties": {"n": number}, "required": ["n"], "additionalProperties": False}
    assert config == {"format": {"type": "json_schema", "schema": bound}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"any": {}}},
        {
            "$ref": "#/$defs/Tree",
            "$defs": {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}},
        },
    ],
    ids=["no names", "any name", "any value", "itself"],
)
def test_a_schema_that_no_decoder_can_be_bound_to_is_said_in_words(schema):
    _, sent = ask(BEGIN + TEXT + stop(0) + end(), REQUEST.model_copy(update={"answer": schema}))
    body = json.loads(sent.content)
    assert "output_config" not in body
    assert json.dumps(schema, sort_keys=True, separators=(",", ":")) in body["system"]


def test_pings_are_no_life():
    class Pings(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield BEGIN
            while True:
                await asyncio.sleep(0)
                yield event("ping")

    reply = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pings())
    with pytest.raises(ModelError) as raised:
        ask(reply, idle_s=0.02)
    assert raised.value.code == "silent"
