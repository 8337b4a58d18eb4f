"""The real `openai` SDK over Responses, every way it asks, against the scripted model."""

import json

import httpx
import openai
import pydantic
import pytest

from pytest_agent import ToolCall, Turn, Usage, call
from pytest_agent.trace import ModelReplied

SYNC = openai.OpenAI(api_key="test", max_retries=0)
ASYNC = openai.AsyncOpenAI(api_key="test", max_retries=0)
URL = "https://llm.example/v1/responses"
TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}
    for name in ("orders_lookup", "payments-refund")
]
LOOKUPS = Turn(text="Looking.", calls=(call("orders.lookup", order=7), call("payments.refund", order=7, note="ü 👋")))


class Answer(pydantic.BaseModel):
    order: int


def events_of(stream):
    return [event.type.removeprefix("response.") for event in stream]


def test_text(llm):
    llm.says("Hello, world.")
    reply = SYNC.responses.create(model="gpt-5", input="hello", instructions="Be brief.", metadata={"a": "b"})
    assert (reply.output_text, reply.status, reply.model, reply.instructions) == (
        "Hello, world.",
        "completed",
        "gpt-5",
        "Be brief.",
    )
    assert (reply.id, reply.output[0].id, reply.output[0].type, reply.metadata) == (
        "resp_1",
        "msg_1",
        "message",
        {"a": "b"},
    )


async def test_async_text(llm):
    llm.says("Hello.", "one two")
    assert (await ASYNC.responses.create(model="gpt-5", input="hello")).output_text == "Hello."
    stream = await ASYNC.responses.create(model="gpt-5", input="hello", stream=True)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "one two"
    assert events[-1].response.output_text == "one two"


def test_parallel_calls_under_the_names_the_agent_declared(llm):
    llm.says(LOOKUPS)
    reply = SYNC.responses.create(model="gpt-5", input="hello", tools=TOOLS)
    assert reply.output_text == "Looking."
    calls = [item for item in reply.output if item.type == "function_call"]
    assert [made.name for made in calls] == ["orders_lookup", "payments-refund"]
    assert [json.loads(made.arguments) for made in calls] == [{"order": 7}, {"order": 7, "note": "ü 👋"}]
    assert [made.call_id for made in calls] == ["call_1_0", "call_1_1"]
    assert len({item.id for item in reply.output}) == 3


def test_the_stream_helper(llm, run):
    llm.says(LOOKUPS)
    with SYNC.responses.stream(model="gpt-5", input="hello", tools=TOOLS) as stream:
        kinds = events_of(stream)
        final = stream.get_final_response()
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-1] == "completed"
    assert kinds.count("output_item.added") == kinds.count("output_item.done") == 3
    assert kinds.count("function_call_arguments.done") == 2
    assert kinds.index("output_text.done") < kinds.index("content_part.done") < kinds.index("output_item.done")
    assert final.output_text == "Looking."
    (event,) = run.trace.of(ModelReplied)
    assert (event.text, [made["name"] for made in event.calls]) == ("Looking.", ["orders_lookup", "payments-refund"])
    assert [made["arguments"] for made in event.calls] == [made.arguments for made in LOOKUPS.calls]
    assert event.terminal_at == event.events - 1


def test_a_plain_reply_is_on_record_as_a_streamed_one_is(llm, run):
    llm.says(LOOKUPS, LOOKUPS)
    SYNC.responses.create(model="gpt-5", input="a", tools=TOOLS)
    list(SYNC.responses.create(model="gpt-5", input="b", tools=TOOLS, stream=True))
    plain, streamed = run.trace.of(ModelReplied)
    assert plain.text == streamed.text
    assert [(made["name"], made["arguments"]) for made in plain.calls] == [
        (made["name"], made["arguments"]) for made in streamed.calls
    ]


async def test_the_async_stream_helper(llm):
    llm.says(LOOKUPS)
    async with ASYNC.responses.stream(model="gpt-5", input="hello") as stream:
        final = await stream.get_final_response()
    assert [item.type for item in final.output] == ["message", "function_call", "function_call"]


async def test_structured_output(llm):
    llm.says('{"order": 7}', '{"order": 8}', Turn(refusal="No."))
    assert SYNC.responses.parse(model="gpt-5", input="x", text_format=Answer).output_parsed == Answer(order=7)
    async with ASYNC.responses.stream(model="gpt-5", input="x", text_format=Answer) as stream:
        assert (await stream.get_final_response()).output_parsed == Answer(order=8)
    refused = await ASYNC.responses.parse(model="gpt-5", input="x", text_format=Answer)
    assert refused.output_parsed is None
    assert refused.output[0].content[0].refusal == "No."


def test_a_refusal_in_a_stream(llm, run):
    llm.says(Turn(refusal="I cannot."))
    with SYNC.responses.stream(model="gpt-5", input="hello") as stream:
        kinds = events_of(stream)
        final = stream.get_final_response()
    assert kinds.count("refusal.delta") == 2
    assert kinds.count("refusal.done") == 1
    assert final.output[0].content[0].refusal == "I cannot."
    assert next(run.trace.of(ModelReplied)).text == "I cannot."


def test_what_the_model_thinks(llm):
    turn = Turn("Seven.", reasoning="Two and five.", usage=Usage(100, 30, cached_tokens=64, reasoning_tokens=20))
    llm.says(turn, turn)
    plain = SYNC.responses.create(model="gpt-5", input="hello", include=["reasoning.encrypted_content"])
    assert (plain.output[0].type, plain.output[0].summary[0].text) == ("reasoning", "Two and five.")
    assert plain.output[0].encrypted_content
    with SYNC.responses.stream(model="gpt-5", input="hello") as stream:
        kinds = events_of(stream)
        final = stream.get_final_response()
    assert kinds[2:7] == [
        "output_item.added",
        "reasoning_summary_part.added",
        *["reasoning_summary_text.delta"] * 3,
    ]
    assert {"reasoning_summary_text.done", "reasoning_summary_part.done"} <= set(kinds)
    assert final.output[0].summary[0].text == "Two and five."
    for usage in (plain.usage, final.usage):
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 30, 130)
        assert usage.input_tokens_details.cached_tokens == 64
        assert usage.output_tokens_details.reasoning_tokens == 20


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        ("length", "incomplete", "max_output_tokens"),
        ("context_window", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("stop_sequence", "completed", None),
        ("pause", "completed", None),
    ],
)
def test_every_stop_reason(llm, stop, status, reason):
    llm.says(Turn("Hel", stop=stop), Turn("Hel", stop=stop))
    plain = SYNC.responses.create(model="gpt-5", input="hello")
    last = list(SYNC.responses.create(model="gpt-5", input="hello", stream=True))[-1]
    assert last.type == f"response.{status}"
    for reply in (plain, last.response):
        assert (reply.status, reply.output[0].status) == (status, status)
        assert (reply.incomplete_details and reply.incomplete_details.reason) == reason


def test_a_turn_with_nothing_in_it(llm):
    llm.says(Turn(), Turn(""))
    assert SYNC.responses.create(model="gpt-5", input="hello").output == []
    with SYNC.responses.stream(model="gpt-5", input="hello") as stream:
        assert stream.get_final_response().output_text == ""


def test_a_short_stream_byte_for_byte(llm):
    llm.says(Turn("Hi ü.", calls=(ToolCall("lookup", '{"order": 7}', "call_x"),), usage=Usage(5, 2)))
    raw = httpx.post(URL, json={"model": "gpt-4o", "input": "hello", "stream": True})
    frame = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1767225600,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "gpt-4o",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi ü."}
    said = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    made = {
        "id": "fc_1_0",
        "type": "function_call",
        "status": "completed",
        "arguments": '{"order": 7}',
        "call_id": "call_x",
        "name": "lookup",
    }
    whole = {
        **frame,
        "status": "completed",
        "completed_at": 1767225600,
        "output": [said, made],
        "usage": {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 7,
        },
    }
    here = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    there = {"item_id": "fc_1_0", "output_index": 1}
    expected = [
        ("created", {"response": frame}),
        ("in_progress", {"response": frame}),
        ("output_item.added", {"output_index": 0, "item": {**said, "status": "in_progress", "content": []}}),
        ("content_part.added", {**here, "part": {**part, "text": ""}}),
        ("output_text.delta", {**here, "logprobs": [], "delta": "Hi "}),
        ("output_text.delta", {**here, "logprobs": [], "delta": "ü."}),
        ("output_text.done", {**here, "logprobs": [], "text": "Hi ü."}),
        ("content_part.done", {**here, "part": part}),
        ("output_item.done", {"output_index": 0, "item": said}),
        ("output_item.added", {"output_index": 1, "item": {**made, "status": "in_progress", "arguments": ""}}),
        ("function_call_arguments.delta", {**there, "delta": '{"order": 7}'}),
        ("function_call_arguments.done", {**there, "arguments": '{"order": 7}'}),
        ("output_item.done", {"output_index": 1, "item": made}),
        ("completed", {"response": whole}),
    ]
    text = ""
    for number, (kind, data) in enumerate(expected):
        body = {"type": f"response.{kind}", "sequence_number": number, **data}
        text += f"event: response.{kind}\ndata: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"
    assert raw.content.decode() == text
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
