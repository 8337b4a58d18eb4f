"""The client of the model: what counts as a turn, and what each failure costs."""

import asyncio
import email.utils
import json
import ssl
import time

import httpx
import pytest

from agentfsm.errors import ModelError
from agentfsm.models import failures, sse

OK = {"content-type": "text/event-stream"}


def test_a_stream_that_ends_before_its_finish_reason_never_counts(world, wire):
    world.first = [wire.stream(wire.chunk(content="Refunded."), done=False)]
    result = world.run()
    assert result.outcome == "success"
    assert world.steps()[:2] == [(1, 1, "model", "failed", "incomplete_turn"), (1, 2, "model", "success", None)]
    assert "Refunded." not in json.dumps(world.requests[1])


def test_a_done_mark_without_a_finish_reason_does_not_count_either(world, wire):
    call = wire.call_chunk("orders_lookup", {"order": 7}, "c1")
    world.first = [wire.stream(call)]
    world.run()
    assert world.steps()[0][4] == "incomplete_turn"
    assert world.lookups == [7]


def test_a_finish_reason_is_enough_where_the_done_mark_is_missing(world, wire):
    world.first = [wire.stream(wire.call_chunk("orders_lookup", {"order": 7}, "c1"), wire.chunk("stop"), done=False)]
    assert world.run().outcome == "success"
    assert len(world.requests) == 3


def test_a_plain_reply_works_as_well_as_a_stream(world):
    call = {"id": "c1", "type": "function", "function": {"name": "orders_lookup", "arguments": '{"order": 7}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    world.first = [httpx.Response(200, json=body)]
    assert world.run(stream=False).outcome == "success"
    assert "stream" not in world.requests[0]


def test_a_quota_that_is_used_up_costs_exactly_one_request(world, wire):
    world.first = [wire.error(429, "insufficient_quota", retry_after="1")]
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "insufficient_quota")
    assert len(world.requests) == 1
    assert world.ledger == {}


def test_its_twin_a_rate_limit_is_waited_out(world, wire):
    world.first = [wire.error(429, "rate_limit_exceeded", retry_after="7")]
    assert world.run().outcome == "success"
    assert len(world.clock.pauses) == 1
    assert world.clock.pauses[0] >= 7


def test_a_pause_beyond_the_deadline_is_not_begun(world, wire):
    world.first = [wire.error(429, "rate_limit_exceeded", retry_after="3600")]
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "rate_limit")
    assert world.clock.pauses == []


def test_every_attempt_of_a_call_is_the_same_request_under_the_same_key(world, wire):
    world.first = [wire.error(503), wire.error(529)]
    world.run()
    assert world.keys[:4] == ["r1:1", "r1:1", "r1:1", "r1:3"]
    assert world.requests[0] == world.requests[1] == world.requests[2]


def test_five_attempts_and_no_more(world, wire):
    world.first = [wire.error(500) for _ in range(9)]
    result = world.run()
    assert (result.outcome, result.cause) == ("failed", "server_error")
    assert [(s[1], s[3]) for s in world.steps()] == [(n, "failed") for n in range(1, 6)]
    assert len(world.requests) == 5
    assert result.not_done == [{"goal": "the order was refunded, or the lookup says that it is not refundable"}]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_permanent_error_is_not_repeated(world, wire, status):
    world.first = [wire.error(status)]
    assert world.run().outcome == "failed"
    assert len(world.requests) == 1


def event(text):
    return httpx.Response(200, headers=OK, text=text)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (httpx.Response(200, json={"error": {"code": "rate_limit_exceeded"}}), "rate_limit"),
        (httpx.Response(200, json={"error": {"code": 502, "message": "x"}}), "server_error"),
        (httpx.Response(200, json={"error": "what"}), "server_error"),
        (httpx.Response(200, json={"choices": None}), "incomplete_turn"),
        (httpx.Response(200, json={"choices": ["x"]}), "bad_response"),
        (httpx.Response(200, json=[1]), "bad_response"),
        (httpx.Response(200, html="<html>Sign in</html>"), "bad_response"),
        (httpx.Response(502, html="<html>Bad gateway</html>"), "server_error"),
        (httpx.Response(200, headers={"content-type": "application/json"}, text='{"choices": [{'), "bad_response"),
        (event('data: {"error": {"type": "overloaded_error"}}\n\n'), "overloaded"),
        (event('data: {"choices": []}\n\n{"error": {"code": 503}}\n'), "overloaded"),
        (event('data: {"choices": [{"del\n\n'), "broken_stream"),
        (httpx.Response(200, headers=OK, content=b"data: \xff\n\n"), "broken_stream"),
        (event('data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "novel"}]}\n\n'), "incomplete_turn"),
        (event('data: {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}\n\n'), "incomplete_turn"),
        (event(""), "incomplete_turn"),
        (
            httpx.Response(200, headers={**OK, "content-encoding": "gzip"}, stream=httpx.ByteStream(b"data: x")),
            "connection",
        ),
        (httpx.ConnectError("no route"), "connection"),
        (httpx.RemoteProtocolError("gone"), "connection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_passing_failure_is_repeated_and_nothing_of_it_is_kept(world, reply, code):
    world.first = [reply]
    assert world.run().outcome == "success"
    assert world.steps()[0] == (1, 1, "model", "failed", code)
    assert len(world.requests) == 4


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "insufficient_quota"}, "insufficient_quota"),
        ({"type": "invalid_request_error", "code": "context_length_exceeded"}, "context_length_exceeded"),
        ({"code": 401}, "authentication"),
    ],
)
def test_a_permanent_error_inside_a_stream_is_one_too(world, error, code):
    world.first = [event(f"data: {json.dumps({'error': error})}\n\n")]
    assert world.run().cause == code
    assert len(world.requests) == 1


def test_a_refusal_and_a_content_filter_are_final(world, wire):
    world.first = [wire.stream(wire.chunk(refusal="I will not."), wire.chunk("stop"))]
    assert world.run().cause == "refused"
    world.first = [wire.stream(wire.chunk("content_filter", content="x"))]
    assert world.run(request_id="r2").cause == "content_filter"
    assert len(world.requests) == 2


def test_a_certificate_that_does_not_hold_is_not_repeated(world):
    error = httpx.ConnectError("tls")
    error.__cause__ = ssl.SSLCertVerificationError("CERTIFICATE_VERIFY_FAILED")
    world.first = [error]
    assert world.run().cause == "certificate"
    assert len(world.requests) == 1


def test_a_turn_that_was_cut_off_runs_no_tool_and_is_asked_for_again(world, wire):
    world.first = [wire.stream(wire.call_chunk("orders_lookup", {"order": 7}, "c"), wire.chunk("length"))]
    assert world.run().outcome == "success"
    assert world.steps()[0] == (1, 1, "model", "failed", "truncated")
    assert "cut off" in world.requests[1]["messages"][2]["content"]
    assert world.lookups == [7]


def test_a_call_in_the_old_form_is_a_call(world, wire):
    old = wire.chunk(function_call={"name": "orders_lookup", "arguments": '{"order"'})
    rest = wire.chunk(function_call={"arguments": ": 7}"})
    world.script[0] = wire.stream(old, rest, wire.chunk("function_call"))
    assert world.run().outcome == "success"
    assert world.lookups == [7]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 9},
        {"prompt_tokens": 9, "completion_tokens": 0},
        {"prompt_tokens": -5, "completion_tokens": 9},
        {"prompt_tokens": True, "completion_tokens": 9},
        {"prompt_tokens": 9},
        {"prompt_tokens": 9, "completion_tokens": 10**30},
    ],
)
def test_a_count_that_cannot_be_is_a_missing_one(openai, usage):
    body = {"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}], "usage": usage}
    assert openai.ask(httpx.Response(200, json=body), stream=False).usage is None


def test_cached_input_is_told_apart(openai):
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    body = {"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}], "usage": usage}
    assert openai.ask(httpx.Response(200, json=body), stream=False).usage.cached_tokens == 4


@pytest.mark.parametrize("code", ["²", "99999999999999999999", 10**400, None, [], {}])
def test_an_error_of_any_shape_is_an_error_of_the_model(openai, code):
    with pytest.raises(ModelError) as raised:
        openai.streams(b'data: {"error": {"code": %s, "message": 7}}\n\n' % json.dumps(code).encode()[:4000])
    assert raised.value.transient


def test_of_several_names_of_an_error_the_most_telling_one_counts(openai):
    error = {"type": "invalid_request_error", "code": "context_length_exceeded"}
    with pytest.raises(ModelError) as raised:
        openai.ask(httpx.Response(400, json={"error": error}))
    assert raised.value.code == "context_length_exceeded"


def test_a_stream_cut_into_single_bytes_is_the_same_stream(world, wire):
    class Bytes(httpx.AsyncByteStream):
        async def __aiter__(self):
            for chunk in (wire.chunk(content="naïve 🎉\u2028"), wire.chunk("stop")):
                for byte in f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n".encode():
                    yield bytes([byte])

    world.script[2] = wire.says("unused")
    world.run()
    world.first = [wire.lookup(), wire.refund(), httpx.Response(200, headers=OK, stream=Bytes())]
    assert world.run(request_id="r2").answer == "naïve 🎉\u2028"


def test_a_surrogate_pair_split_over_two_deltas_is_joined_and_a_lone_one_replaced(world, wire):
    world.script[2] = wire.stream(wire.chunk(content="\ud83c"), wire.chunk(content="\udf89 \ud800"), wire.chunk("stop"))
    assert world.run().answer == "🎉 \ufffd"


def test_blank_and_repeated_call_ids_get_names_of_their_own(world, wire):
    twice = (("orders_lookup", {"order": 7}), ("payments_refund", {"order": 7, "amount": 20}))
    world.script = [wire.calls(*twice, ids=("", "")), wire.says("Refunded.")]
    assert world.run().outcome == "success"
    world.script = [wire.calls(*twice, ids=("same", "same")), wire.says("Refunded.")]
    assert world.run(request_id="r2").outcome == "success"
    for request in (world.requests[1], world.requests[3]):
        asked = [call["id"] for call in request["messages"][2]["tool_calls"]]
        answered = [m["tool_call_id"] for m in request["messages"] if m["role"] == "tool"]
        assert asked == answered
        assert len(set(asked)) == 2


def test_an_id_that_was_used_in_an_earlier_turn_is_renamed(world, wire):
    world.script = [
        wire.calls(("orders_lookup", {"order": 7}), ids=("c1",)),
        wire.calls(("payments_refund", {"order": 7, "amount": 20}), ids=("c1",)),
        wire.says("Refunded."),
    ]
    assert world.run().outcome == "success"
    assert [m["tool_call_id"] for m in world.requests[2]["messages"] if m["role"] == "tool"] == ["c1", "call_3_0"]


def test_the_same_call_delivered_twice_runs_once(world, wire):
    same = ("orders_lookup", {"order": 7})
    world.script[0] = wire.calls(same, same, ids=("c1", "c1"))
    world.run()
    assert world.lookups == [7]


def test_two_calls_that_share_an_index_are_not_merged(world, wire):
    world.script = [
        wire.stream(
            wire.call_chunk("orders_lookup", "", "a"),
            wire.chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"order"'}}]),
            wire.chunk(tool_calls=[{"index": 0, "function": {"arguments": ": 7}"}}]),
            wire.call_chunk("payments_refund", {"order": 7, "amount": 20}, "b"),
            wire.chunk("tool_calls"),
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 5}},
        ),
        wire.says("Refunded."),
    ]
    assert world.run().outcome == "success"


def test_the_tools_are_offered_under_names_the_api_accepts(world):
    world.run()
    names = [tool["function"]["name"] for tool in world.requests[0]["tools"]]
    assert names == ["orders_lookup", "payments_refund"]
    assert world.requests[2]["messages"][4]["tool_calls"][0]["function"]["name"] == "payments_refund"


def test_a_proposal_may_also_use_the_name_of_the_contract(world, wire):
    world.script[0] = wire.calls(("orders.lookup", {"order": 7}))
    assert world.run().outcome == "success"


def test_retry_after_is_read_in_all_its_forms():
    assert failures.retry_after({"retry-after": "2.5"}) == 2.5
    assert failures.retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < failures.retry_after({"retry-after": date}) <= 100
    for unreadable in ("soon", "-1", "inf", "nan", "", "Fri, 99 Dec 99999999999 23:59:59 GMT", "\0"):
        assert failures.retry_after({"retry-after": unreadable}) is None


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_events_do_not_depend_on_how_lines_end_or_chunks_are_cut(end, size):
    raw = end.join([": ping", "event: x", "data: one", "data:two", "", "data: é", "", "data: last"]).encode()

    async def chunks():
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    async def read():
        return [text async for text in sse.data(chunks())]

    assert asyncio.run(read()) == ["one\ntwo", "é", "last"]
