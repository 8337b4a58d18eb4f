"""Gemini: what the real SDK makes of the bytes, plain and streamed, sync and async."""

import asyncio
import json

import httpx
import httpx2
import pytest
from google import genai
from google.genai import types

from pytest_agent import ToolCall, Turn, Usage, call
from pytest_agent.llm.gemini import Gemini
from pytest_agent.trace import ModelReplied, ModelRequested

BASE = "https://llm.example/v1beta/models/gemini-3-pro"
MODEL = "gemini-3-pro"
# With a transport of its own the async client is httpx2's, also where aiohttp is installed.
OPTIONS = types.HttpOptions(async_client_args={"transport": httpx2.AsyncHTTPTransport()})
CLIENT = genai.Client(api_key="test", http_options=OPTIONS)
TOOLS = [
    types.Tool(
        function_declarations=[
            types.FunctionDeclaration(name="payments_refund", parameters_json_schema={"type": "object"})
        ]
    )
]


def config(**more):
    return types.GenerateContentConfig(**more) if more else None


def plain(run, contents="hello", **more):
    with run.inside():
        return CLIENT.models.generate_content(model=MODEL, contents=contents, config=config(**more))


def async_plain(run, contents="hello", **more):
    with run.inside():
        return asyncio.run(CLIENT.aio.models.generate_content(model=MODEL, contents=contents, config=config(**more)))


def put_together(chunks):
    """One response out of the chunks of a stream."""
    whole = chunks[-1].model_copy(deep=True)
    parts = [
        part for chunk in chunks for part in (chunk.candidates[0].content.parts or []) if part != types.Part(text="")
    ]
    joined = []
    for part in parts:
        if joined and part.text and joined[-1].text and part.thought == joined[-1].thought:
            joined[-1].text += part.text
        else:
            joined.append(part.model_copy())
    whole.candidates[0].content.parts = joined
    return whole


def streamed(run, contents="hello", **more):
    with run.inside():
        return put_together(
            list(CLIENT.models.generate_content_stream(model=MODEL, contents=contents, config=config(**more)))
        )


def async_streamed(run, contents="hello", **more):
    async def read():
        stream = await CLIENT.aio.models.generate_content_stream(model=MODEL, contents=contents, config=config(**more))
        return put_together([chunk async for chunk in stream])

    with run.inside():
        return asyncio.run(read())


ALL = pytest.mark.parametrize("ask", [plain, streamed, async_plain, async_streamed])


@ALL
def test_text(run_under, ask):
    run = run_under()
    run.llm.says(Turn("Grüße, 世界!", usage=Usage(11, 5)))
    reply = ask(run)
    assert reply.text == "Grüße, 世界!"
    assert (reply.model_version, reply.response_id) == (MODEL, "resp_1")
    assert reply.candidates[0].finish_reason == "STOP"
    usage = reply.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (11, 5, 16)
    (said,) = run.trace.of(ModelReplied)
    assert (said.text, said.end, said.heard) == ("Grüße, 世界!", "complete", True)


@ALL
def test_one_call_under_the_name_the_agent_declared(run_under, ask):
    run = run_under()
    run.llm.says(call("payments.refund", order=7, note="für 世界"))
    reply = ask(run, tools=TOOLS)
    (made,) = reply.function_calls
    assert (made.id, made.name, made.args) == ("call_1_0", "payments_refund", {"order": 7, "note": "für 世界"})
    assert reply.candidates[0].finish_reason == "STOP"
    (said,) = next(run.trace.of(ModelReplied)).calls
    assert json.loads(said["arguments"]) == made.args


@ALL
def test_text_and_parallel_calls(run_under, ask):
    run = run_under()
    run.llm.says(Turn("Both.", calls=(call("a", x=1), call("b"), ToolCall("c", '{"y": [1]}', id="mine"))))
    reply = ask(run)
    parts = reply.candidates[0].content.parts
    assert parts[0].text == "Both."
    assert [(part.function_call.id, part.function_call.name, part.function_call.args) for part in parts[1:]] == [
        ("call_1_0", "a", {"x": 1}),
        ("call_1_1", "b", {}),
        ("mine", "c", {"y": [1]}),
    ]


@ALL
def test_thoughts_and_usage(run_under, ask):
    run = run_under()
    usage = Usage(1000, 70, cached_tokens=900, reasoning_tokens=50)
    run.llm.says(Turn("So.", calls=(call("a"),), reasoning="What is asked for?", usage=usage))
    reply = ask(run)
    thought, text, made = reply.candidates[0].content.parts
    assert (thought.thought, thought.text) == (True, "What is asked for?")
    assert (text.thought, text.text) == (None, "So.")
    assert len(made.thought_signature) == 32
    counted = reply.usage_metadata
    assert (counted.prompt_token_count, counted.cached_content_token_count) == (1000, 900)
    assert (counted.candidates_token_count, counted.thoughts_token_count, counted.total_token_count) == (20, 50, 1070)


@ALL
@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("stop", "STOP"),
        ("tool_calls", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("stop_sequence", "STOP"),
        ("pause", "OTHER"),
        ("context_window", "MAX_TOKENS"),
    ],
)
def test_stop_reasons(run_under, ask, stop, reason):
    run = run_under()
    run.llm.says(Turn("So", stop=stop))
    reply = ask(run)
    assert (reply.candidates[0].finish_reason, reply.text) == (reason, "So")


@ALL
def test_a_refusal_is_text_and_a_reason(run_under, ask):
    run = run_under()
    run.llm.says(Turn(refusal="I can't."))
    reply = ask(run)
    assert (reply.text, reply.candidates[0].finish_reason) == ("I can't.", "SAFETY")


@pytest.mark.parametrize("stream", [True, False])
def test_a_turn_that_the_filter_stops_is_a_blocked_prompt(run_under, stream):
    run = run_under()
    run.llm.says(Turn(stop="content_filter", usage=Usage(11, 0)))
    with run.inside():
        if stream:
            (reply,) = CLIENT.models.generate_content_stream(model=MODEL, contents="hello")
        else:
            reply = CLIENT.models.generate_content(model=MODEL, contents="hello")
    assert reply.candidates is None
    assert reply.prompt_feedback.block_reason == "SAFETY"
    assert reply.usage_metadata.total_token_count == 11
    assert next(run.trace.of(ModelReplied)).end == "complete"


@ALL
@pytest.mark.parametrize("arguments", ['{"order": 7', "[1]", "yes"])
def test_arguments_that_are_no_object_are_a_malformed_call(run_under, ask, arguments):
    run = run_under()
    run.llm.says(Turn("I try.", calls=(ToolCall("refund", arguments), call("good"))))
    reply = ask(run)
    candidate = reply.candidates[0]
    assert candidate.finish_reason == "MALFORMED_FUNCTION_CALL"
    assert (reply.text, reply.function_calls) == ("I try.", None)
    assert next(run.trace.of(ModelReplied)).calls == []


@ALL
def test_at_the_length_limit_the_whole_calls_remain(run_under, ask):
    run = run_under()
    run.llm.says(Turn(calls=(call("a", x=1), ToolCall("b", '{"y": ')), stop="length"))
    reply = ask(run)
    assert [made.name for made in reply.function_calls] == ["a"]
    assert reply.candidates[0].finish_reason == "MAX_TOKENS"


def test_an_answer_under_a_schema(run_under):
    run = run_under()
    run.llm.says('{"order": 7}')
    schema = {"type": "object", "properties": {"order": {"type": "integer"}}}
    reply = plain(run, response_mime_type="application/json", response_json_schema=schema)
    assert reply.parsed == {"order": 7}


def test_a_turn_without_anything(run_under):
    run = run_under()
    run.llm.says(Turn("", stop="stop"))
    reply = plain(run)
    assert (reply.text, reply.candidates[0].content.parts, reply.candidates[0].finish_reason) == (None, None, "STOP")


def test_functions_that_the_sdk_calls_by_itself(run_under):
    def refund(order: int) -> str:
        """Refund an order."""
        return f"order {order} is refunded"

    run = run_under()
    run.llm.says([call("refund", order=7), call("refund", order=8)], "Done.")
    assert plain(run, tools=[refund]).text == "Done."
    history = Gemini().history({"contents": list(run.trace.of(ModelRequested))[1].messages})
    assert [(said.role, said.text, said.name) for said in history] == [
        ("user", "hello", None),
        ("assistant", "", None),
        ("tool", "order 7 is refunded", "refund"),
        ("tool", "order 8 is refunded", "refund"),
    ]
    assert [made.arguments for made in history[1].calls] == ['{"order": 7}', '{"order": 8}']


def test_a_chat_keeps_a_history_that_can_be_sent(run_under):
    run = run_under()
    run.llm.says(Turn("Two words.", calls=(call("a"), call("b")), reasoning="hm hm"), "And more.")
    with run.inside():
        chat = CLIENT.chats.create(model=MODEL)
        chunks = list(chat.send_message_stream("hello"))
        made = [one for chunk in chunks for one in chunk.function_calls or []]
        results = [types.Part.from_function_response(name=one.name, response={"result": "ok"}) for one in made]
        assert chat.send_message(results).text == "And more."
    assert [event.call for event in run.trace.of(ModelRequested)] == [1, 2]


def test_what_is_said_of_a_request(run_under):
    run = run_under()
    run.llm.says("Hi.")
    part = types.Part.from_bytes(data=b"\0", mime_type="image/png")
    plain(run, [part, "What is it?"], system_instruction="Be brief.", tools=TOOLS)
    (asked,) = run.trace.of(ModelRequested)
    assert (asked.model, asked.stream) == (MODEL, False)
    assert [next(iter(part)) for part in asked.messages[0]["parts"]] == ["inlineData", "text"]


def test_a_large_image_is_not_a_long_text(run_under):
    run = run_under()
    run.llm.says("A cat.")
    assert plain(run, [types.Part.from_bytes(data=b"\0" * 900_000, mime_type="image/png")]).text == "A cat."


@pytest.mark.parametrize("spelled", ["systemInstruction", "system_instruction"])
def test_both_spellings_of_a_field(run_under, spelled):
    run = run_under()
    run.llm.says("Hi.")
    body = {
        spelled: {"parts": {"text": "Be brief."}},
        "contents": {"role": "user", "parts": {"text": "hello"}},
        "generation_config": {"max_output_tokens": 5},
        "tools": {"function_declarations": [{"name": "f"}]},
    }
    with run.inside():
        assert httpx.post(f"{BASE}:generateContent", json=body).json()["candidates"][0]["content"]["role"] == "model"
    assert [said.text for said in Gemini().history(body)] == ["Be brief.", "hello"]
