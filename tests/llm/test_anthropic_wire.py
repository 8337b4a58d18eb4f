"""Anthropic Messages in full: thinking, usage, headers, every error, the count of tokens; as the real SDK sees them."""

import asyncio
import base64
import hashlib

import anthropic
import httpx
import httpx2
import pytest

from pytest_agent import Turn, Usage, call
from pytest_agent.faults.effects.provider_error import ProviderError
from pytest_agent.faults.seams import Armed
from pytest_agent.llm.anthropic_messages import AnthropicMessages
from pytest_agent.llm.anthropic_tokens import AnthropicTokens
from pytest_agent.llm.protocols import service_for
from pytest_agent.llm.reply import RetryAfter
from pytest_agent.llm.request import WireRequest
from pytest_agent.trace import ModelReplied

URL = "https://llm.example/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
USER = [{"role": "user", "content": "hello"}]
ASK = {"model": "claude-5", "max_tokens": 100, "messages": USER}
CLIENT = anthropic.Anthropic(api_key="test", max_retries=0)
ASYNC = anthropic.AsyncAnthropic(api_key="test", max_retries=0)


def plain(run, **more):
    with run.inside():
        return CLIENT.messages.create(**ASK | more)


def streamed(run, **more):
    with run.inside(), CLIENT.messages.stream(**ASK | more) as stream:
        return stream.get_final_message()


def async_plain(run, **more):
    with run.inside():
        return asyncio.run(ASYNC.messages.create(**ASK | more))


def async_streamed(run, **more):
    async def read():
        async with ASYNC.messages.stream(**ASK | more) as stream:
            return await stream.get_final_message()

    with run.inside():
        return asyncio.run(read())


ALL = pytest.mark.parametrize("ask", [plain, streamed, async_plain, async_streamed])


@ALL
def test_thinking_before_text_and_calls(run_under, ask):
    run = run_under()
    run.llm.says(Turn("I look.", calls=(call("a", x=1), call("b")), reasoning="What is asked for?"))
    message = ask(run)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[0].thinking == "What is asked for?"
    assert len(message.content[0].signature) == 44
    assert [block.input for block in message.content[2:]] == [{"x": 1}, {}]
    (reply,) = run.trace.of(ModelReplied)
    assert (reply.text, [said["name"] for said in reply.calls]) == ("I look.", ["a", "b"])


def test_the_signature_is_that_of_the_thinking(run_under):
    run = run_under()
    run.llm.says(Turn("a", reasoning="one"), Turn("a", reasoning="one"), Turn("a", reasoning="two"))
    one, again, two = (plain(run, messages=[{"role": "user", "content": said}]).content[0] for said in "abc")
    assert one.signature == again.signature != two.signature


@ALL
@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("stop", "end_turn"),
        ("tool_calls", "tool_use"),
        ("length", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause", "pause_turn"),
        ("context_window", "model_context_window_exceeded"),
    ],
)
def test_every_stop_reason(run_under, ask, stop, reason):
    run = run_under()
    run.llm.says(Turn("So", stop=stop))
    message = ask(run, stop_sequences=["END", "FIN"])
    assert message.stop_reason == reason
    assert message.stop_sequence == ("END" if stop == "stop_sequence" else None)


@ALL
def test_a_refusal_is_text_and_a_stop_reason(run_under, ask):
    run = run_under()
    run.llm.says(Turn(refusal="I can't help with that."))
    message = ask(run)
    assert (message.content[0].text, message.stop_reason) == ("I can't help with that.", "refusal")
    assert message.stop_details.type == "refusal"


@ALL
def test_usage_with_cache_and_thinking(run_under, ask):
    run = run_under()
    run.llm.says(Turn("So", usage=Usage(1000, 70, cached_tokens=900, reasoning_tokens=50)))
    usage = ask(run).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (100, 900, 0)
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (70, 50)


def test_the_headers_of_a_reply(run_under):
    run = run_under()
    run.llm.says(Turn("So", usage=Usage(1000, 70)))
    with run.inside():
        raw = CLIENT.messages.with_raw_response.create(**ASK)
    assert raw.headers["request-id"] == "req_1"
    limits = {name: value for name, value in raw.headers.items() if name.startswith("anthropic-ratelimit")}
    assert len(limits) == 12
    assert limits["anthropic-ratelimit-requests-limit"] == "4000"
    assert limits["anthropic-ratelimit-requests-remaining"] == "3999"
    assert limits["anthropic-ratelimit-input-tokens-remaining"] == "1999000"
    assert limits["anthropic-ratelimit-output-tokens-remaining"] == "399930"
    assert limits["anthropic-ratelimit-tokens-remaining"] == "2398930"
    assert limits["anthropic-ratelimit-tokens-reset"].endswith("Z")


def test_the_bytes_of_a_short_stream(run_under):
    run = run_under()
    run.llm.says(Turn("Hi.", calls=(call("f", x=1),), reasoning="hm", usage=Usage(3, 2)))
    with run.inside():
        raw = httpx.post(URL, json={**ASK, "stream": True}, headers=VERSION).content
    usage = '"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens"'
    signature = base64.b64encode(hashlib.sha256(b"hm").digest()).decode()
    want = [
        (
            "message_start",
            '"message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-5","content":[],'
            f'"stop_reason":null,"stop_sequence":null,"usage":{{{usage}:1}}}}',
        ),
        ("content_block_start", '"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}'),
        ("ping", ""),
        ("content_block_delta", '"index":0,"delta":{"type":"thinking_delta","thinking":"hm"}'),
        ("content_block_delta", f'"index":0,"delta":{{"type":"signature_delta","signature":"{signature}"}}'),
        ("content_block_stop", '"index":0'),
        ("content_block_start", '"index":1,"content_block":{"type":"text","text":""}'),
        ("content_block_delta", '"index":1,"delta":{"type":"text_delta","text":"Hi."}'),
        ("content_block_stop", '"index":1'),
        ("content_block_start", '"index":2,"content_block":{"type":"tool_use","id":"toolu_1_0","name":"f","input":{}}'),
        ("content_block_delta", r'"index":2,"delta":{"type":"input_json_delta","partial_json":"{\"x\": 1}"}'),
        ("content_block_stop", '"index":2'),
        ("message_delta", f'"delta":{{"stop_reason":"tool_use","stop_sequence":null}},"usage":{{{usage}:2}}'),
        ("message_stop", ""),
    ]
    said = "".join(f'event: {kind}\ndata: {{"type":"{kind}"{"," if data else ""}{data}}}\n\n' for kind, data in want)
    assert raw.decode() == said


ERRORS = [
    ("authentication", 401, anthropic.AuthenticationError, "authentication_error"),
    ("bad_request", 400, anthropic.BadRequestError, "invalid_request_error"),
    ("content_filter", 400, anthropic.BadRequestError, "Output blocked by content filtering policy"),
    ("context_length_exceeded", 400, anthropic.BadRequestError, "prompt is too long: 212410 tokens > 200000 maximum"),
    ("insufficient_quota", 400, anthropic.BadRequestError, "Your credit balance is too low"),
    ("model_not_found", 404, anthropic.NotFoundError, "model: claude-5"),
    ("not_found", 404, anthropic.NotFoundError, "not_found_error"),
    ("overloaded", 529, anthropic.InternalServerError, "overloaded_error"),
    ("permission_denied", 403, anthropic.PermissionDeniedError, "permission_error"),
    ("rate_limit", 429, anthropic.RateLimitError, "rate_limit_error"),
    ("request_too_large", 413, anthropic.APIStatusError, "request_too_large"),
    ("server_error", 500, anthropic.InternalServerError, "api_error"),
    ("service_unavailable", 503, anthropic.InternalServerError, "api_error"),
    ("spend_limit", 429, anthropic.RateLimitError, "enforced_spend_limit_reached"),
    ("timeout", 504, anthropic.InternalServerError, "timeout_error"),
]


@ALL
@pytest.mark.parametrize(("kind", "status", "error", "said"), ERRORS, ids=[case[0] for case in ERRORS])
def test_every_error_is_the_sdk_exception(run_under, ask, kind, status, error, said):
    run = run_under("insufficient-quota@llm")
    run.seams.armed = (Armed(run.seams.armed[0].fault, ProviderError(kind=kind, retry_after_s=7)),)
    run.llm.says("Hi.")
    with pytest.raises(error) as caught:
        ask(run)
    assert caught.value.status_code == status
    assert said in str(caught.value.body)
    assert caught.value.request_id == caught.value.body["request_id"]
    assert caught.value.response.headers.get("retry-after") == (None if kind == "spend_limit" else "7")


def test_the_classes_that_the_sdk_tells_apart(run_under):
    for kind, name in (("overloaded", "OverloadedError"), ("spend_limit", "EnforcedSpendLimitReachedError")):
        run = run_under("insufficient-quota@llm")
        run.seams.armed = (Armed(run.seams.armed[0].fault, ProviderError(kind=kind)),)
        run.llm.says("Hi.")
        with pytest.raises(anthropic.APIStatusError) as caught:
            plain(run)
        assert type(caught.value).__name__ == name


@pytest.mark.parametrize(
    ("pause", "header", "value"),
    [
        (RetryAfter(3), "retry-after", "3"),
        (RetryAfter(3, "ms"), "retry-after-ms", "3000"),
        (None, "retry-after", None),
    ],
)
def test_how_a_pause_is_said(pause, header, value):
    headers = dict(AnthropicMessages().error("rate_limit", None, retry_after=pause).headers)
    assert headers.get(header) == value
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"


def test_an_error_in_a_stream_is_raised_with_status_200(run_under):
    run = run_under("overloaded-mid-stream(after=4)@llm")
    run.llm.says("one two")
    with pytest.raises(anthropic.APIStatusError, match="Overloaded") as caught:
        streamed(run)
    assert caught.value.status_code == 200


def counting():
    def handler(request):
        wire = WireRequest(request.method, request.url.path, request.headers, request.content)
        assert service_for(wire.method, wire.path).name == AnthropicTokens.name
        reply = AnthropicTokens().answer(wire)
        return httpx2.Response(reply.status, headers=list(reply.headers), content=reply.chunks[0].data)

    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    return anthropic.Anthropic(api_key="test", max_retries=0, http_client=http)


def test_tokens_are_counted_as_they_are_billed(run_under):
    run = run_under()
    run.llm.says("Hi.")
    counted = counting().messages.count_tokens(model="claude-5", messages=USER).input_tokens
    assert counted == plain(run).usage.input_tokens > 0


def test_a_large_image_is_not_a_long_text(run_under):
    run = run_under()
    run.llm.says("A cat.")
    image = {"type": "base64", "media_type": "image/png", "data": "A" * 1_200_000}
    assert plain(run, messages=[{"role": "user", "content": [{"type": "image", "source": image}]}]).id == "msg_1"
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        plain(run, messages=[{"role": "user", "content": "A" * 1_200_000}])


def test_what_could_not_be_sent_is_not_counted():
    with pytest.raises(anthropic.BadRequestError, match='first message must use the "user" role'):
        counting().messages.count_tokens(model="m", messages=[{"role": "assistant", "content": "x"}])
    assert not AnthropicTokens().matches("POST", "/v1/messages")
    assert not AnthropicMessages().matches("POST", "/v1/messages/count_tokens")
