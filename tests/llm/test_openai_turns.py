"""What the scripted model can say over Chat Completions besides text and calls, read by the real SDK."""

import json

import httpx
import openai
import pydantic
import pytest

from pytest_agent import ToolCall, Turn, Usage, call

SYNC = openai.OpenAI(api_key="test", max_retries=0)
ASYNC = openai.AsyncOpenAI(api_key="test", max_retries=0)
USER = [{"role": "user", "content": "hello"}]
URL = "https://llm.example/v1/chat/completions"


class Answer(pydantic.BaseModel):
    order: int
    note: str


def test_a_refusal(llm):
    llm.says(Turn(refusal="I cannot."), Turn(refusal="I cannot."))
    choice = SYNC.chat.completions.create(model="gpt-5", messages=USER).choices[0]
    assert (choice.message.refusal, choice.message.content, choice.finish_reason) == ("I cannot.", None, "stop")
    with SYNC.chat.completions.stream(model="gpt-5", messages=USER) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"refusal.delta", "refusal.done"} <= kinds
    assert (final.choices[0].message.refusal, final.choices[0].message.content) == ("I cannot.", "")


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (None, "stop"),
        ("length", "length"),
        ("context_window", "length"),
        ("content_filter", "content_filter"),
        ("stop_sequence", "stop"),
        ("tool_calls", "tool_calls"),
        ("pause", "stop"),
    ],
)
def test_every_stop_reason(llm, stop, said):
    llm.says(Turn("Hi.", stop=stop), Turn("Hi.", stop=stop))
    assert SYNC.chat.completions.create(model="gpt-5", messages=USER).choices[0].finish_reason == said
    stream = SYNC.chat.completions.create(model="gpt-5", messages=USER, stream=True)
    assert [chunk.choices[0].finish_reason for chunk in stream][-1] == said


def test_a_cut_answer_is_one_that_cannot_be_parsed(llm):
    llm.says(Turn('{"order": 7', stop="length"), Turn("", stop="content_filter"))
    with pytest.raises(openai.LengthFinishReasonError):
        SYNC.chat.completions.parse(model="gpt-5", messages=USER, response_format=Answer)
    with pytest.raises(openai.ContentFilterFinishReasonError):
        SYNC.chat.completions.parse(model="gpt-5", messages=USER, response_format=Answer)


async def test_structured_output(llm):
    text = '{"order": 7, "note": "ü"}'
    llm.says(text, text, Turn(refusal="No."))
    parsed = SYNC.chat.completions.parse(model="gpt-5", messages=USER, response_format=Answer)
    assert parsed.choices[0].message.parsed == Answer(order=7, note="ü")
    async with ASYNC.chat.completions.stream(model="gpt-5", messages=USER, response_format=Answer) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Answer(order=7, note="ü")
    refused = await ASYNC.chat.completions.parse(model="gpt-5", messages=USER, response_format=Answer)
    assert (refused.choices[0].message.parsed, refused.choices[0].message.refusal) == (None, "No.")


def test_the_whole_usage(llm):
    turn = Turn("Hi.", usage=Usage(100, 30, cached_tokens=64, reasoning_tokens=20))
    llm.says(turn, turn)
    plain = SYNC.chat.completions.create(model="gpt-5", messages=USER).usage
    *_, last = SYNC.chat.completions.create(
        model="gpt-5", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    for usage in (plain, last.usage):
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 30, 130)
        assert usage.prompt_tokens_details.cached_tokens == 64
        assert usage.completion_tokens_details.reasoning_tokens == 20


@pytest.mark.parametrize(("model", "shown"), [("gpt-5", False), ("o3", False), ("deepseek-reasoner", True)])
def test_what_the_model_thinks_is_shown_where_hosts_show_it(llm, model, shown):
    turn = Turn("Seven.", reasoning="Two and five make it.")
    llm.says(turn, turn)
    plain = SYNC.chat.completions.create(model=model, messages=USER)
    chunks = list(SYNC.chat.completions.create(model=model, messages=USER, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    expected = "Two and five make it." if shown else ""
    assert getattr(plain.choices[0].message, "reasoning_content", "") == expected
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == expected
    assert "".join(delta.content or "" for delta in deltas) == "Seven."
    # What is not shown is counted all the same.
    assert plain.usage.completion_tokens_details.reasoning_tokens == 5


def test_several_choices_say_the_same_under_ids_of_their_own(llm, run):
    llm.says(Turn("Look.", calls=(call("lookup", order=7),)), Turn("Look.", calls=(call("lookup", order=7),)))
    plain = SYNC.chat.completions.create(model="gpt-4o", messages=USER, n=3)
    assert [choice.index for choice in plain.choices] == [0, 1, 2]
    assert {choice.message.content for choice in plain.choices} == {"Look."}
    assert len({choice.message.tool_calls[0].id for choice in plain.choices}) == 3
    with SYNC.chat.completions.stream(model="gpt-4o", messages=USER, n=2) as stream:
        final = stream.get_final_completion()
    assert [choice.finish_reason for choice in final.choices] == ["tool_calls", "tool_calls"]
    assert [choice.message.content for choice in final.choices] == ["Look.", "Look."]
    assert [event.text for event in run.trace.events if event.kind == "model_replied"] == ["Look.", "Look."]
    assert [len(event.calls) for event in run.trace.events if event.kind == "model_replied"] == [1, 1]


def test_a_short_stream_byte_for_byte(llm):
    llm.says(Turn("Hi ü.", calls=(ToolCall("lookup", '{"order": 7, "a": 1}', "call_x"),), usage=Usage(5, 2)))
    body = {"model": "gpt-4o", "messages": USER, "stream": True, "stream_options": {"include_usage": True}}
    raw = httpx.post(URL, json=body)
    head = '{"id":"chatcmpl-1","created":1767225600,"model":"gpt-4o","object":"chat.completion.chunk","choices":['

    def choice(delta, finish="null"):
        return f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null}}'

    expected = [
        head + choice('{"role":"assistant","content":"","refusal":null}'),
        head + choice('{"content":"Hi "}'),
        head + choice('{"content":"ü."}'),
        head
        + choice(
            '{"tool_calls":[{"index":0,"id":"call_x","type":"function","function":{"name":"lookup","arguments":""}}]}'
        ),
        head + choice('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"order\\": 7,"}}]}'),
        head + choice('{"tool_calls":[{"index":0,"function":{"arguments":" \\"a\\": 1}"}}]}'),
        head + choice("{}", '"tool_calls"'),
        head + '],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,'
        '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
        '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
        '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}',
        "[DONE]",
    ]
    assert raw.content.decode() == "".join(f"data: {line}\n\n" for line in expected)


def test_headers_of_a_good_reply(llm):
    llm.says("Hi.")
    raw = SYNC.chat.completions.with_raw_response.create(model="gpt-5", messages=USER)
    assert raw.headers["x-request-id"] == "req_1"
    assert {name: raw.headers[name] for name in raw.headers if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "2000000",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "0ms",
    }


def test_azure_names_the_model_in_the_path(llm):
    llm.says("Hi.")
    url = "https://x.openai.azure.example/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert httpx.post(url, json={"messages": USER}).json()["model"] == "gpt-4o"


async def test_the_azure_client(llm):
    llm.says("Hi.")
    azure = openai.AsyncAzureOpenAI(
        api_key="test", azure_endpoint="https://x.openai.azure.example", api_version="2024-10-21", max_retries=0
    )
    reply = await azure.chat.completions.create(model="mine", messages=USER)
    assert (reply.model, reply.choices[0].message.content) == ("mine", "Hi.")


def test_parallel_calls_go_back_and_forth(llm):
    llm.says([call("lookup", order=1), call("lookup", order=2)], "Both are there.")
    first = SYNC.chat.completions.create(model="gpt-5", messages=USER).choices[0].message
    history = [*USER, first.model_dump(include={"role", "content", "tool_calls"})]
    for made in first.tool_calls:
        order = json.loads(made.function.arguments)["order"]
        history.append({"role": "tool", "tool_call_id": made.id, "content": str(order)})
    assert SYNC.chat.completions.create(model="gpt-5", messages=history).choices[0].message.content == "Both are there."
