"""What holds for the clients of both providers, over what the scripted model of the harness sends as each of them."""

import asyncio
import itertools
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.turns import Message, ToolCall
from pytest_agent import Turn, Usage, call
from pytest_agent.llm.reply import ErrorKind, RetryAfter

BOTH = Turn("Grüße 🎉", calls=(call("orders.lookup", order=7), call("other", note="für 世界")), usage=Usage(11, 5))
LIFE = {"openai": b": keep-alive\n\n", "anthropic": b'event: ping\ndata: {"type":"ping"}\n\n'}
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(max_size=40)
values = st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=3))
calls = st.lists(st.builds(call, st.just("orders.lookup"), order=values), max_size=3)


def meaning(turn):
    return turn.text, [(c.name, json.loads(c.arguments)) for c in turn.calls]


@many
@given(text=texts, said=calls, stream=st.booleans())
def test_any_turn_arrives_as_it_was_said(provider, text, said, stream):
    turn = provider.says(Turn(text, calls=tuple(said), usage=Usage(11, 5)), stream=stream)
    text = text.replace("\0", "\ufffd")  # no store can hold it
    assert meaning(turn) == (text, [(c.name, json.loads(c.arguments)) for c in said])
    assert (turn.usage.input_tokens, turn.usage.output_tokens) == (11, 5)
    assert turn.finish == ("tool_calls" if said else "stop")


@many
@given(data=st.data(), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_neither_line_ends_nor_cuts_matter(provider, data, end):
    raw = provider.bytes_of(BOTH)
    body = raw.replace(b"\n", end)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(body) - 1), max_size=15)))
    parts = [body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)])]
    assert provider.streams(*parts) == provider.streams(raw)


def test_a_stream_that_breaks_off_after_any_byte_is_whole_or_nothing(provider):
    raw = provider.bytes_of(BOTH)
    whole = provider.streams(raw)
    complete = 0
    for cut in range(len(raw)):
        try:
            turn = provider.streams(raw[:cut])
        except IncompleteTurn as error:
            assert error.transient  # noqa: PT017 - either end is right
        else:
            assert (meaning(turn), turn.finish) == (meaning(whole), whole.finish)
            complete += 1
    assert complete < len(raw) / 2  # and most of them are nothing


@pytest.mark.parametrize("kind", ["insufficient_quota", "context_length_exceeded", "overloaded", "rate_limit"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_error_in_the_middle_of_a_stream_is_what_it_would_be_as_a_status(provider, kind: ErrorKind, place):
    events = provider.bytes_of(BOTH).split(b"\n\n")
    broken = b"\n\n".join(events[:place]) + (b"\n\n" if place else b"") + provider.codec.error_event(kind).data
    with pytest.raises(ModelError) as raised:
        provider.streams(broken)
    assert (raised.value.code, raised.value.transient) == (kind, kind in {"overloaded", "rate_limit"})


@pytest.mark.parametrize(
    ("kind", "code", "transient"),
    [
        ("insufficient_quota", "insufficient_quota", False),
        ("context_length_exceeded", "context_length_exceeded", False),
        ("authentication", "authentication", False),
        ("model_not_found", "not_found", False),
        ("bad_request", "bad_request", False),
        ("rate_limit", "rate_limit", True),
        ("overloaded", "overloaded", True),
        ("server_error", "server_error", True),
    ],
)
def test_errors_of_both_are_told_apart_alike(provider, kind, code, transient):
    reply = provider.codec.error(kind, None, retry_after=RetryAfter(3))
    response = httpx.Response(reply.status, headers=dict(reply.headers), content=reply.chunks[0].data)
    with pytest.raises(ModelError) as raised:
        provider.ask(response)
    error = raised.value
    assert (error.code, error.transient, error.retry_after_s) == (code, transient, 3.0 if transient else None)


def test_a_turn_that_was_cut_says_so(provider):
    assert provider.says(Turn("So", stop="length")).finish == "length"


def test_a_filtered_turn_is_refused_for_good(provider):
    with pytest.raises(ModelError) as raised:
        provider.says(Turn("So", stop="content_filter"))
    assert raised.value.code in {"content_filter", "refused"}
    assert not raised.value.transient


def test_huge_arguments_arrive_whole(provider):
    note = "0123456789" * 200_000
    turn = provider.says(Turn(calls=(call("orders.lookup", note=note),)), stream=False)
    assert json.loads(turn.calls[0].arguments)["note"] == note
    turn = provider.says(Turn(calls=(call("orders.lookup", note=note[:200_000]),)))
    assert json.loads(turn.calls[0].arguments)["note"] == note[:200_000]


def test_a_reply_without_end_is_broken_off(provider, monkeypatch):
    monkeypatch.setattr("agentfsm.models.replies.MOST_BYTES", 10_000)
    for stream in (True, False):
        with pytest.raises(ModelError) as raised:
            provider.says("x" * 20_000, stream=stream)
        assert (raised.value.code, raised.value.transient) == ("reply_too_large", False)


HOSTILE = [
    '{"note": "\\ud800"}',
    '{"n": NaN}',
    '{"n": 1e999}',
    "[" * 900,
    '{"a":' * 300 + "1" + "}" * 300,
    "nonsense",
    "[1]",
]


@pytest.mark.parametrize("arguments", HOSTILE)
def test_arguments_that_no_provider_takes_back_do_not_break_the_next_request(provider, arguments):
    asked = Message(role="assistant", text="", calls=(ToolCall(id="c1", name="orders.lookup", arguments=arguments),))
    request = provider.request(asked, Message(role="tool", text='"refused"', call_id="c1"))
    assert provider.says("Sorry.", request).text == "Sorry."
    sent = json.loads(provider.sent[-1].decode(), parse_constant=pytest.fail)
    assert "\ud800" not in json.dumps(sent, ensure_ascii=False)


def test_the_same_schema_is_sent_to_both(openai, anthropic):
    for provider in (openai, anthropic):
        provider.says("Hi.")
    ours, theirs = (json.loads(p.sent[0])["tools"][0] for p in (openai, anthropic))
    assert ours["function"]["parameters"] == theirs["input_schema"] == {"type": "object"}
    assert ours["function"]["name"] == theirs["name"] == "orders_lookup"


def test_tools_that_would_have_one_name_on_the_wire_are_not_mixed_up(provider):
    tools = [{"name": name, "description": "", "parameters": {}} for name in ("a.b", "a-b", "a_b", "a" * 80, "a" * 90)]
    request = provider.request(tools=tuple(tools))

    def answer(decoded):
        assert len(set(decoded.tools)) == 5
        assert decoded.tools[2] == "a_b"  # what may be sent as it is keeps its name
        said = Turn(calls=tuple(call(name) for name in decoded.tools))
        return provider.response(said, decoded)

    turn = provider.ask(answer, request)
    assert [c.name for c in turn.calls] == [tool["name"] for tool in tools]


def test_the_key_of_the_call_goes_with_every_attempt(provider):
    decoded = []

    def answer(got):
        decoded.append(got)
        return provider.response("Hi.", got)

    provider.ask(answer)
    provider.ask(answer)
    assert [d.idempotency_key for d in decoded] == ["r1:1", "r1:1"]
    assert decoded[0].body_sha256 == decoded[1].body_sha256


class Silent(httpx.AsyncByteStream):
    """Sends what it has, then a keep-alive every second, for ever."""

    def __init__(self, begin, beat):
        self.begin, self.beat, self.closed = begin, beat, False

    async def __aiter__(self):
        yield self.begin
        while True:
            await asyncio.sleep(1)
            yield self.beat

    async def aclose(self):
        self.closed = True


SPOKEN = {
    "openai": b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n',
    "anthropic": (
        b'data: {"type":"message_start","message":{}}\n\n'
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}\n\n'
    ),
}
EMPTY = {
    "openai": b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}]}\n\n',
    "anthropic": b'data: {"type":"message_start","message":{}}\n\n',
}


@pytest.mark.parametrize(("begin", "after_s"), [(SPOKEN, 7), (EMPTY, 30)], ids=["spoken", "only begun"])
@pytest.mark.parametrize("beat", ["ping", "empty"])
def test_keep_alives_are_no_sign_of_life(run_under, provider, begin, after_s, beat):
    name = provider.client.provider
    repeated = LIFE[name] if beat == "ping" or name == "anthropic" else EMPTY[name]
    slow = Silent(begin[name], repeated)
    run = run_under()
    with run.inside(), pytest.raises(ModelError) as raised:
        provider.ask(
            httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=slow), first_event_s=30, idle_s=7
        )
    assert (raised.value.code, raised.value.transient) == ("silent", True)
    assert run.clock.elapsed_s == pytest.approx(after_s, abs=0.01)
    assert slow.closed


@pytest.mark.parametrize(
    "fault",
    [
        "stream-clean-eof(after=1)",
        "stream-clean-eof(after=3)",
        "stream-reset(after=2)",
        "stream-stall(after=2)",
        "stream-keepalive-stall(after=2)",
        "overloaded-mid-stream",
        "insufficient-quota",
        "arguments-malformed(how=unclosed)",
        "limit-just-used-up",
        "stream-pause",
    ],
)
def test_under_a_fault_of_the_catalogue_a_turn_is_whole_or_an_error(run_under, provider, fault):
    run = run_under(f"{fault}@llm")
    run.llm.says(call("orders_lookup", order=7))

    async def main():
        async with httpx.AsyncClient() as http:
            model = provider.client(http, model="m", base_url="https://llm.example", first_event_s=30, idle_s=5)
            return await model.complete(provider.request())

    with run.inside():
        try:
            turn = asyncio.run(main())
        except ModelError as error:
            assert error.transient is (fault != "insufficient-quota")  # noqa: PT017 - either end is right
            assert run.clock.elapsed_s <= 30
        else:
            assert [c.name for c in turn.calls] == ["orders.lookup"]
            assert fault in {"arguments-malformed(how=unclosed)", "limit-just-used-up", "stream-pause"}
