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
            model = AnthropicMessages(client, **{"model": "claude-opus-5", "api_key": "k", **options})
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


def error_of(status: int, **error: Any) -> ModelError:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "no", **error}}
    with pytest.raises(ModelError) as raised:
        ask(httpx.Response(status, json=body, headers={"retry-after": "3"}))
    return raised.value


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, {"message": "Your credit balance is too low to access the Anthropic API."}, "insufficient_quota"),
        (402, {"type": "billing_error"}, "insufficient_quota"),
        (429, {"details": {"error_code": "enforced_spend_limit_reached"}}, "insufficient_quota"),
        (400, {"message": "prompt is too long: 212410 tokens > 200000 maximum"}, "context_length_exceeded"),
        (
            400,
            {"message": "input length and `max_tokens` exceed context limit: 190 + 64 > 200"},
            "context_length_exceeded",
        ),
        (413, {"type": "request_too_large"}, "request_too_large"),
        (404, {"type": "not_found_error"}, "not_found"),
    ],
)
def test_what_no_later_attempt_can_mend_is_tried_once(status, error, code):
    found = error_of(status, **error)
    assert (found.code, found.transient, found.retry_after_s) == (code, False, None)


def test_its_twins_are_tried_again():
    assert error_of(429, type="rate_limit_error", message="slower, please").transient
    assert error_of(429, type="rate_limit_error", details={"error_code": "ramp_limit_exceeded"}).transient
    assert error_of(500, type="api_error", message="prompt is too long to be stored just now").transient


@pytest.mark.parametrize(
    "spliced",
    [
        BEGIN + BEGIN + TEXT + stop(0) + end(),
        BEGIN + TEXT + BEGIN + TEXT + stop(0) + end(),
        BEGIN + TEXT + start(0, type="text", text="") + stop(0) + end(),
        BEGIN + TEXT + stop(0) + delta(0, type="text_delta", text="more") + end(),
        BEGIN + TEXT + delta(0, type="input_json_delta", partial_json="{}") + stop(0) + end(),
        BEGIN + delta(3, type="text_delta", text="more") + end(),
        TEXT + stop(0) + end(),
        BEGIN + start("0", type="text", text="") + end(),
    ],
)
def test_pieces_of_two_attempts_are_no_message(spliced):
    with pytest.raises(IncompleteTurn) as raised:
        ask(spliced)
    assert raised.value.transient


@pytest.mark.parametrize(
    "part",
    [{"stop_reason": 5}, {"stop_reason": ["end_turn"]}, {"content": [{"type": "text", "text": 5}]}, {"content": None}],
)
def test_a_message_of_another_shape_is_an_error_of_the_model(part):
    good = {"type": "message", "content": [], "stop_reason": "end_turn"}
    with pytest.raises(ModelError) as raised:
        ask(httpx.Response(200, json={**good, **part}), stream=False)
    assert raised.value.transient


def test_a_call_whose_end_nobody_saw_is_no_call():
    open_call = CALL.removesuffix(stop(1))
    with pytest.raises(IncompleteTurn, match="not closed"):
        ask(BEGIN + open_call + end("tool_use"))
    assert ask(BEGIN + CALL + end("tool_use"))[0].calls


def test_the_count_before_the_end_is_no_count():
    uncounted = event("message_delta", delta={"stop_reason": "end_turn"}) + event("message_stop")
    assert ask(BEGIN + TEXT + stop(0) + uncounted)[0].usage is None


def test_all_kinds_of_input_are_counted_and_the_cached_told_apart():
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 20, "output_tokens": 1}
    turn, _ = ask(event("message_start", message={"usage": usage}) + TEXT + stop(0) + end())
    assert turn.usage == Usage(input_tokens=35, output_tokens=7, cached_tokens=20)


SIGNED = (
    start(0, type="thinking", thinking="")
    + delta(0, type="thinking_delta", thinking="h")
    + delta(0, type="thinking_delta", thinking="m")
    + delta(0, type="signature_delta", signature="s1=")
    + stop(0)
)


def given_back(turn: Any, model: str = "claude-opus-5") -> list[dict[str, Any]]:
    """Return what the next request says the model has said."""
    said = Message(role="assistant", text=turn.text, calls=turn.calls, opaque=turn.opaque)
    answer = Message(role="tool", text="{}", call_id=turn.calls[0].id)
    request = REQUEST.model_copy(update={"messages": (*REQUEST.messages, said, answer)})
    _, sent = ask(BEGIN + TEXT + stop(0) + end(), request, model=model)
    messages = json.loads(sent.content)["messages"]
    TypeAdapter(list[MessageParam]).validate_python(messages)
    return messages[1]["content"]


def test_thinking_goes_back_unharmed_to_the_model_whose_it_is():
    turn, _ = ask(BEGIN + SIGNED + CALL + end("tool_use"))
    assert turn.text == ""
    thought, called = given_back(turn)
    assert thought == {"type": "thinking", "thinking": "hm", "signature": "s1="}
    assert called["type"] == "tool_use"
    assert [block["type"] for block in given_back(turn, model="claude-sonnet-5")] == ["tool_use"]


def test_hidden_thinking_goes_back_as_well():
    hidden = start(0, type="redacted_thinking", data="xyz") + stop(0)
    turn, _ = ask(BEGIN + hidden + CALL + end("tool_use"))
    assert given_back(turn)[0] == {"type": "redacted_thinking", "data": "xyz"}


def test_thinking_that_cannot_be_given_back_as_it_was_is_left_out():
    late = CALL.replace(b'"index": 1', b'"index": 0') + SIGNED.replace(b'"index": 0', b'"index": 1')
    for stream in (BEGIN + THOUGHT + CALL, BEGIN + late):
        turn, _ = ask(stream + end("tool_use"))
        assert [block["type"] for block in given_back(turn)] == ["tool_use"]


def test_a_user_who_said_nothing_is_still_heard():
    _, sent = ask(BEGIN + TEXT + stop(0) + end(), ModelRequest(key="k", messages=(Message(role="user", text=" \n"),)))
    assert json.loads(sent.content)["messages"] == [{"role": "user", "content": [{"type": "text", "text": "(empty)"}]}]
