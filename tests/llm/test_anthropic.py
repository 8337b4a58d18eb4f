"""Anthropic Messages: what the real SDK makes of the bytes, and the six first faults on this wire."""

import asyncio
import json

import anthropic
import httpx
import httpx2
import pytest

from pytest_agent import ToolCall, Turn, Usage, call
from pytest_agent.faults.effects.provider_error import ProviderError
from pytest_agent.faults.seams import Armed
from pytest_agent.llm.anthropic_messages import AnthropicMessages
from pytest_agent.trace import FaultApplied, ModelReplied, ModelRequested

URL = "https://llm.example/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
USER = [{"role": "user", "content": "hello"}]
ASK = {"model": "claude-5", "max_tokens": 100, "messages": USER}
CLIENT = anthropic.Anthropic(api_key="test", max_retries=0)
ASYNC = anthropic.AsyncAnthropic(api_key="test", max_retries=0)
TOOLS = [{"name": "payments_refund", "input_schema": {"type": "object"}}]


def plain(run, **more):
    with run.inside():
        return CLIENT.messages.create(**ASK, **more)


def streamed(run, **more):
    with run.inside(), CLIENT.messages.stream(**ASK, **more) as stream:
        return stream.get_final_message()


def by_hand(run, **more):
    """`create(stream=True)`, put together from its events."""
    with run.inside():
        events = list(CLIENT.messages.create(**ASK, stream=True, **more))
    message = events[0].message
    for event in events:
        if event.type == "content_block_start":
            message.content.append(event.content_block)
            text = ""
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            message.content[-1].text += event.delta.text
        elif event.type == "content_block_delta":
            text += event.delta.partial_json
        elif event.type == "content_block_stop" and message.content[-1].type == "tool_use":
            message.content[-1].input = json.loads(text or "{}")
        elif event.type == "message_delta":
            message.stop_reason, message.usage.output_tokens = event.delta.stop_reason, event.usage.output_tokens
    return message


def async_plain(run, **more):
    with run.inside():
        return asyncio.run(ASYNC.messages.create(**ASK, **more))


def async_streamed(run, **more):
    async def read():
        async with ASYNC.messages.stream(**ASK, **more) as stream:
            return await stream.get_final_message()

    with run.inside():
        return asyncio.run(read())


ALL = pytest.mark.parametrize("ask", [plain, streamed, by_hand, async_plain, async_streamed])


@ALL
def test_text(run_under, ask):
    run = run_under()
    run.llm.says(Turn("Grüße, 世界!", usage=Usage(11, 5)))
    message = ask(run)
    assert [block.text for block in message.content] == ["Grüße, 世界!"]
    assert (message.stop_reason, message.model, message.id) == ("end_turn", "claude-5", "msg_1")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 5)
    (reply,) = run.trace.of(ModelReplied)
    assert (reply.text, reply.end, reply.heard) == ("Grüße, 世界!", "complete", True)


@ALL
def test_one_call_under_the_name_the_agent_declared(run_under, ask):
    run = run_under()
    run.llm.says(call("payments.refund", order=7, note="für 世界"))
    message = ask(run, tools=TOOLS)
    (block,) = message.content
    assert (block.type, block.id, block.name) == ("tool_use", "toolu_1_0", "payments_refund")
    assert block.input == {"order": 7, "note": "für 世界"}
    assert message.stop_reason == "tool_use"
    (said,) = next(run.trace.of(ModelReplied)).calls
    assert json.loads(said["arguments"]) == block.input


@ALL
def test_text_and_parallel_calls(run_under, ask):
    run = run_under()
    run.llm.says(Turn("Both.", calls=(call("a", x=1), call("b"), ToolCall("c", '{"y": [1]}', id="mine"))))
    message = ask(run)
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use", "tool_use"]
    assert [(block.id, block.name, block.input) for block in message.content[1:]] == [
        ("toolu_1_0", "a", {"x": 1}),
        ("toolu_1_1", "b", {}),
        ("mine", "c", {"y": [1]}),
    ]


@ALL
@pytest.mark.parametrize(
    ("stop", "reason"), [("length", "max_tokens"), ("content_filter", "refusal"), ("tool_calls", "tool_use")]
)
def test_stop_reasons(run_under, ask, stop, reason):
    run = run_under()
    run.llm.says(Turn("So", stop=stop))
    assert ask(run).stop_reason == reason


def test_a_conversation_with_results(run_under):
    run = run_under()
    run.llm.says(call("refund", order=7), "Done.")
    with run.inside():
        first = CLIENT.messages.create(**ASK)
        history = [
            *USER,
            {"role": "assistant", "content": [block.model_dump() for block in first.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": first.content[0].id, "content": "ok"}]},
        ]
        second = CLIENT.messages.create(**{**ASK, "messages": history})
    assert second.content[0].text == "Done."
    assert [event.call for event in run.trace.of(ModelRequested)] == [1, 2]


def test_the_bytes_of_a_stream(run_under):
    run = run_under()
    run.llm.says(Turn("one two", usage=Usage(3, 2)))
    with run.inside():
        raw = httpx.post(URL, json={**ASK, "stream": True}, headers=VERSION).content
    events = raw.removesuffix(b"\n\n").split(b"\n\n")
    kinds = []
    for event in events:
        first, second = event.split(b"\n")
        kinds.append(first.removeprefix(b"event: ").decode())
        assert json.loads(second.removeprefix(b"data: "))["type"] == kinds[-1]
    assert kinds == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[3] == (
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one "}}'
    )


@pytest.mark.parametrize(
    ("kind", "status", "error", "said"),
    [
        ("rate_limit", 429, anthropic.RateLimitError, "rate_limit_error"),
        ("overloaded", 529, anthropic.APIStatusError, "overloaded_error"),
        ("server_error", 500, anthropic.InternalServerError, "api_error"),
        ("bad_request", 400, anthropic.BadRequestError, "invalid_request_error"),
        ("context_length_exceeded", 400, anthropic.BadRequestError, "prompt is too long"),
        ("authentication", 401, anthropic.AuthenticationError, "authentication_error"),
        ("model_not_found", 404, anthropic.NotFoundError, "not_found_error"),
    ],
)
def test_errors(run_under, kind, status, error, said):
    run = armed(run_under, ProviderError(kind=kind))
    run.llm.says("Hi.")
    with pytest.raises(error) as caught:
        plain(run)
    assert caught.value.status_code == status
    assert said in str(caught.value)


def test_overloaded_has_a_class_of_its_own(run_under):
    run = armed(run_under, ProviderError(kind="overloaded"))
    run.llm.says("Hi.")
    with pytest.raises(anthropic.APIStatusError) as caught:
        plain(run)
    assert type(caught.value).__name__ == "OverloadedError"


def armed(run_under, effect):
    run = run_under("insufficient-quota@llm")
    run.seams.armed = (Armed(run.seams.armed[0].fault, effect),)
    return run


@pytest.mark.parametrize("sync", [True, False])
def test_retry_after_is_kept_in_virtual_time(run_under, sync):
    run = armed(run_under, ProviderError(kind="rate_limit", retry_after_s=17))
    run.llm.says("Hi.")
    with run.inside():
        if sync:
            message = CLIENT.with_options(max_retries=1).messages.create(**ASK)
        else:
            message = asyncio.run(ASYNC.with_options(max_retries=1).messages.create(**ASK))
    assert message.content[0].text == "Hi."
    assert run.clock.elapsed_s == pytest.approx(17, abs=0.01)
    assert [event.site for event in run.trace.of(ModelReplied)] == ["llm#1", "llm#1/2"]


def test_half_of_a_surrogate_pair_is_spelled_out(run_under):
    run = run_under()
    run.llm.says("so \ud83d far")
    with run.inside():
        raw = httpx.post(URL, json=ASK, headers=VERSION).content
    assert json.loads(raw.decode())["content"][0]["text"] == "so \ud83d far"


@pytest.mark.parametrize("path", ["/v1/messages", "/anthropic/v1/messages", "/v1/messages/"])
def test_which_paths(path):
    assert AnthropicMessages().matches("POST", path)
    assert not AnthropicMessages().matches("GET", path)
    assert not AnthropicMessages().matches("POST", path.rstrip("/") + "/batches")


# The six first faults.


def test_a_cut_stream_raises_nothing(run_under):
    run = run_under("stream-clean-eof(after=4)@llm")
    run.llm.says("one two")
    message = by_hand(run)
    assert (message.content[0].text, message.stop_reason) == ("one ", None)
    assert next(run.trace.of(ModelReplied)).end == "cut"


def test_every_boundary_up_to_the_stop_reason_is_a_cut(run_under):
    run = run_under("stream-clean-eof(after=6)@llm")
    run.llm.says("one two")
    assert by_hand(run).stop_reason is None
    run = run_under("stream-clean-eof(after=7)@llm")
    run.llm.says("one two")
    assert by_hand(run).stop_reason == "end_turn"
    assert not list(run.trace.of(FaultApplied))


@pytest.mark.parametrize("sync", [True, False])
def test_a_stall_ends_with_the_limit_of_the_client(run_under, sync):
    run = run_under("stream-stall(after=2)@llm")
    run.llm.says("one two")

    async def read():
        async for _ in await ASYNC.with_options(timeout=5).messages.create(**ASK, stream=True):
            pass

    def read_sync():
        list(CLIENT.with_options(timeout=5).messages.create(**ASK, stream=True))

    with run.inside(), pytest.raises(httpx2.ReadTimeout):  # the SDK hands it through in a stream
        read_sync() if sync else asyncio.run(read())
    assert run.clock.elapsed_s == 5
    assert next(run.trace.of(ModelReplied)).end == "timeout"


def test_insufficient_quota_is_a_400_here(run_under):
    run = run_under("insufficient-quota@llm")
    run.llm.says("Hi.")
    with pytest.raises(anthropic.BadRequestError, match="credit balance is too low") as caught:
        plain(run)
    assert caught.value.status_code == 400
    assert len(list(run.trace.of(ModelReplied))) == 1


def test_malformed_arguments_in_a_stream(run_under):
    run = run_under("arguments-malformed(how=unclosed)@llm")
    run.llm.says(call("refund", order=7))
    with pytest.raises(ValueError, match="delimiter"):
        by_hand(run)
    assert next(run.trace.of(ModelReplied)).heard is False


@pytest.mark.parametrize("ask", [plain, streamed])
def test_arguments_that_are_empty(run_under, ask):
    run = run_under("arguments-malformed(how=empty)@llm")
    run.llm.says(call("refund", order=7))
    assert ask(run).content[0].input == {}


@pytest.mark.parametrize(
    ("control", "elapsed_s"),
    [("stream-pause", 4), ("limit-just-used-up", 0), ("arguments-unusual", 0)],
)
def test_the_controls_change_nothing(run_under, control, elapsed_s):
    run = run_under(f"{control}@llm")
    run.llm.says(call("refund", order=7, amount=20))
    assert streamed(run).content[0].input == {"order": 7, "amount": 20}
    assert run.clock.elapsed_s == elapsed_s
    assert list(run.trace.of(FaultApplied))


def test_the_last_event_here_is_not_dropped(run_under):
    run = run_under("stream-without-done@llm")
    run.llm.says("Hi.")
    assert streamed(run).stop_reason == "end_turn"
    assert not list(run.trace.of(FaultApplied))
