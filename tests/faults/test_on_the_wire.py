"""Each fault of the catalogue and its control: what reaches the client, byte for byte where that is the point."""

import asyncio
import json

import httpx
import httpx2
import openai
import pytest

from pytest_agent import Turn, Usage, call
from pytest_agent.errors import ProcessDied, RunAbort
from pytest_agent.faults.site import Site
from pytest_agent.trace import Died, FaultApplied, ModelReplied, ToolReplied

URL = "https://llm.example/v1/chat/completions"
USER = [{"role": "user", "content": "hello"}]
BODY = {"model": "gpt-5", "messages": USER, "stream": True}
CLIENT = openai.OpenAI(api_key="test", max_retries=2)
ASYNC = openai.AsyncOpenAI(api_key="test", max_retries=2)


def body(run, *turns, times=1, **more):
    """The raw body of the last of some requests."""
    run.llm.says(*turns)
    with run.inside(), httpx.Client(timeout=60) as http:
        return [http.post(URL, json={**BODY, **more}) for _ in range(times)][-1]


def events(raw):
    assert raw.endswith(b"\n\n")
    return raw.removesuffix(b"\n\n").split(b"\n\n")


def chunk(delta, finish=None, **more):
    frame = {
        "id": "chatcmpl-1",
        "created": 1767225600,
        "model": "gpt-5",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(frame, separators=(",", ":")).encode()


WHOLE = [
    chunk({"role": "assistant", "content": "", "refusal": None}),
    chunk({"content": "one "}),
    chunk({"content": "two"}),
    chunk({}, "stop"),
    b"data: [DONE]",
]


def test_the_clean_stream(run_under):
    assert events(body(run_under(), "one two").content) == WHOLE


@pytest.mark.parametrize("after", range(4))
def test_stream_clean_eof_ends_the_body_in_good_order(run_under, after):
    run = run_under(f"stream-clean-eof(after={after})@llm")
    raw = body(run, "one two").content
    assert raw == b"".join(event + b"\n\n" for event in WHOLE[:after])
    (reply,) = run.trace.of(ModelReplied)
    assert (reply.end, reply.delivered, reply.events, reply.heard) == ("cut", after, 5, False)


def test_stream_clean_eof_after_the_end_has_nothing_to_cut(run_under):
    run = run_under("stream-clean-eof(after=4)@llm")
    assert events(body(run, "one two").content) == WHOLE
    assert not list(run.trace.of(FaultApplied))


def test_every_boundary_is_tried_and_the_last_lacks_the_terminal_event_alone(run_under):
    run = run_under("stream-clean-eof@llm")
    effect = run.seams.armed[0].effect
    facts = {"streamed": True, "terminal_at": 3}
    assert [variant.after for variant in effect.variants(facts, ("after",))] == [0, 1, 2, 3]
    assert list(effect.variants({"streamed": False, "terminal_at": 0}, ("after",))) == []


def test_stream_without_done_lacks_done_and_nothing_else(run_under):
    assert events(body(run_under("stream-without-done@llm"), "one two").content) == WHOLE[:-1]


def test_stream_without_done_still_has_its_usage(run_under):
    run = run_under("stream-without-done@llm")
    raw = body(run, Turn("one", usage=Usage(5, 1)), stream_options={"include_usage": True}).content
    assert json.loads(events(raw)[-1].removeprefix(b"data: "))["usage"]["total_tokens"] == 6


def test_stream_pause_is_late_and_whole(run_under):
    run = run_under("stream-pause@llm")
    assert events(body(run, "one two").content) == WHOLE
    assert run.clock.elapsed_s == 4
    assert next(run.trace.of(ModelReplied)).end == "complete"


@pytest.mark.parametrize("lib", [httpx, httpx2])
def test_stream_stall_ends_with_the_read_timeout_of_the_client(run_under, lib):
    run = run_under("stream-stall(after=2)@llm")
    run.llm.says("one two")
    with run.inside(), lib.Client(timeout=5) as http, http.stream("POST", URL, json=BODY) as reply:
        pieces = reply.iter_raw()
        got = next(pieces) + next(pieces)
        with pytest.raises(lib.ReadTimeout):
            next(pieces)
    assert got == b"".join(event + b"\n\n" for event in WHOLE[:2])
    assert run.clock.elapsed_s == 5
    assert next(run.trace.of(ModelReplied)).end == "timeout"


@pytest.mark.parametrize("lib", [httpx, httpx2])
def test_stream_stall_async(run_under, lib):
    run = run_under("stream-stall(after=2)@llm")
    run.llm.says("one two")

    async def read():
        async with lib.AsyncClient(timeout=5) as http, http.stream("POST", URL, json=BODY) as reply:
            with pytest.raises(lib.ReadTimeout):
                async for _ in reply.aiter_raw():
                    pass

    with run.inside():
        asyncio.run(read())
    assert run.clock.elapsed_s == 5


def test_stream_stall_without_any_limit_is_ended_by_the_harness(run_under):
    run = run_under("stream-stall@llm")
    run.llm.says("one two")
    with run.inside(), httpx.Client(timeout=None) as http, pytest.raises(RunAbort, match="no read timeout"):  # noqa: S113
        http.post(URL, json=BODY)
    assert next(run.trace.of(ModelReplied)).end == "hung"


def test_stream_stall_under_a_limit_of_the_agents_own(run_under):
    run = run_under("stream-stall@llm")
    run.llm.says("one two")

    async def read():
        async with asyncio.timeout(7), httpx.AsyncClient(timeout=None) as http:  # noqa: S113
            await http.post(URL, json=BODY)

    with run.inside(), pytest.raises(TimeoutError):
        asyncio.run(read())
    assert run.clock.elapsed_s == 7
    assert next(run.trace.of(ModelReplied)).end == "closed"


def test_insufficient_quota_lasts(run_under):
    run = run_under("insufficient-quota@llm")
    run.llm.says("Hi.")
    with run.inside(), pytest.raises(openai.RateLimitError) as caught:
        CLIENT.chat.completions.create(model="gpt-5", messages=USER)
    assert caught.value.code == "insufficient_quota"
    assert caught.value.response.json() == {
        "error": {
            "message": "You exceeded your current quota, please check your plan and billing details. For more "
            "information on this error, read the docs: "
            "https://platform.openai.com/docs/guides/error-codes/api-errors.",
            "type": "insufficient_quota",
            "param": None,
            "code": "insufficient_quota",
        }
    }
    assert [event.site for event in run.trace.of(ModelReplied)] == ["llm#1", "llm#1/2", "llm#1/3"]
    assert {event.status for event in run.trace.of(ModelReplied)} == {429}


def test_limit_just_used_up_changes_headers_alone(run_under):
    reply = body(run_under("limit-just-used-up@llm"), "one two")
    assert events(reply.content) == WHOLE
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("how", "arguments"),
    [
        ("unescaped", '{"note": "he said "yes"", "order": 7, "amount": 20}'),
        ("unclosed", '{"order": 7, "amount": 20'),
        ("list", '[{"order": 7, "amount": 20}]'),
        ("empty", "{}"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_arguments_malformed(run_under, how, arguments, stream):
    run = run_under(f"arguments-malformed(how={how})@llm")
    run.llm.says(call("refund", order=7, amount=20))
    with run.inside():
        if stream:
            with CLIENT.chat.completions.stream(model="gpt-5", messages=USER) as reply:
                final = reply.get_final_completion()
        else:
            final = CLIENT.chat.completions.create(model="gpt-5", messages=USER)
    assert final.choices[0].message.tool_calls[0].function.arguments == arguments
    assert next(run.trace.of(ModelReplied)).heard is False


def test_arguments_unclosed_are_broken_however_the_script_ends_them():
    from pytest_agent import ToolCall
    from pytest_agent.faults.effects.malform_arguments import MalformArguments

    turn = MalformArguments(how="unclosed").change_turn(Turn(calls=(ToolCall("refund", '{"order": 7}\n '),)))
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(turn.calls[0].arguments)


def test_arguments_unusual_mean_the_same(run_under):
    run = run_under("arguments-unusual@llm")
    run.llm.says(call("refund", order=7, amount=20))
    with run.inside():
        reply = CLIENT.chat.completions.create(model="gpt-5", messages=USER)
    arguments = reply.choices[0].message.tool_calls[0].function.arguments
    assert arguments == '{\n    "amount": 20,\n    "order": 7\n}\n'
    assert next(run.trace.of(ModelReplied)).heard is True


@pytest.mark.parametrize("raw", ["[1]", "{broken", "7"])
def test_arguments_unusual_leave_alone_what_is_no_object(raw):
    from pytest_agent import ToolCall
    from pytest_agent.faults.effects.unusual_json import UnusualJson

    turn = Turn(calls=(ToolCall("refund", raw),))
    assert UnusualJson().change_turn(turn) is turn


def lookup_and_refund(run):
    @run.sandbox.tool("orders.lookup")
    def lookup(order: int):
        return {"order": order}

    @run.sandbox.tool("payments.refund", effect=True)
    def refund(order: int):
        return {"refunded": order}

    return run.sandbox.tools["payments.refund"]


@pytest.mark.parametrize(("how", "error"), [("timeout", TimeoutError), ("reset", ConnectionResetError)])
def test_reply_lost_after_the_work_was_done(run_under, how, error):
    run = run_under(f"reply-lost(how={how})@tool:payments.refund")
    refund = lookup_and_refund(run)
    with run.inside(), pytest.raises(error):
        refund(order=7)
    assert run.clock.elapsed_s == 30
    assert run.sandbox.ledger.count("payments.refund", order=7) == 1
    assert next(run.trace.of(ToolReplied)).status == "lost"


def test_reply_slow_arrives(run_under):
    run = run_under("reply-slow@tool:payments.refund")
    refund = lookup_and_refund(run)
    with run.inside():
        assert refund(order=7) == {"refunded": 7}
    assert run.clock.elapsed_s == 2


def test_reply_lost_applies_to_tools_that_change_the_world(run_under):
    effect = run_under("reply-lost@tool:x").seams.armed[0].effect
    assert [variant.how for variant in effect.variants({"effect": True}, ("how",))] == ["timeout", "reset"]
    assert list(effect.variants({"effect": False}, ("how",))) == []


def test_crash_around_commit(run_under):
    run = run_under("crash-around-commit@process@store:commit#2.before")
    with run.inside():
        run.seams.reach(Site.parse("store:commit#1.before"))
        with pytest.raises(ProcessDied):
            run.seams.reach(Site.parse("store:commit#2.before"))
        # A dead process may not act in its `finally` blocks either.
        with pytest.raises(ProcessDied):
            lookup_and_refund(run)(order=7)
        run.llm.says("Hi.")
        with pytest.raises(ProcessDied):
            httpx.Client().post(URL, json=BODY)
    assert next(run.trace.of(Died)).site == "process@store:commit#2.before"
    assert len(run.sandbox.ledger) == 0


def test_restart_after_end_does_not_kill(run_under):
    run = run_under("restart-after-end@process@store:commit#1.after")
    run.seams.reach(Site.parse("store:commit#1.after"))
    assert run.seams.start_again
    assert not run.seams.dead


# What the SDK makes of it.


def test_a_timeout_of_the_sdk_is_honoured_on_the_virtual_clock(run_under):
    run = run_under("stream-stall@llm")
    run.llm.says("Hi.", "never")
    with run.inside(), pytest.raises(openai.APITimeoutError):
        for _ in CLIENT.with_options(timeout=5).chat.completions.create(model="gpt-5", messages=USER, stream=True):
            pass
    assert run.clock.elapsed_s == 5


def test_a_retried_call_hears_the_same_turn_and_waits_as_long_as_the_provider_says(run_under, monkeypatch):
    """The control of old: one 429 with Retry-After. The SDK's own retry is the next attempt of the same call."""
    from pytest_agent.faults.effects.provider_error import ProviderError
    from pytest_agent.faults.seams import Armed

    run = run_under("insufficient-quota@llm")
    effect = ProviderError(kind="rate_limit", retry_after_s=17)
    run.seams.armed = (Armed(run.seams.armed[0].fault, effect),)
    run.llm.says("Hi.", "Bye.")
    with run.inside():
        first = CLIENT.chat.completions.create(model="gpt-5", messages=USER)
        second = CLIENT.chat.completions.create(model="gpt-5", messages=[*USER, *USER])
    assert (first.choices[0].message.content, second.choices[0].message.content) == ("Hi.", "Bye.")
    assert [event.site for event in run.llm.requests] == ["llm#1", "llm#1/2", "llm#2"]
    assert run.clock.elapsed_s == 17


async def ask_async(run):
    return await ASYNC.chat.completions.create(model="gpt-5", messages=USER)


def test_the_async_sdk_retries_in_virtual_time_too(run_under):
    from pytest_agent.faults.effects.provider_error import ProviderError
    from pytest_agent.faults.seams import Armed

    run = run_under("insufficient-quota@llm")
    run.seams.armed = (Armed(run.seams.armed[0].fault, ProviderError(kind="rate_limit", retry_after_s=90)),)
    run.llm.says("Hi.")
    with run.inside():
        assert asyncio.run(ask_async(run)).choices[0].message.content == "Hi."
    assert run.clock.elapsed_s == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize(
    ("seconds", "header"), [(2, "2"), (0.5, "0.5"), (1_000_000, "1000000"), (123456.789, "123456.789")]
)
def test_retry_after_is_written_out(seconds, header):
    from pytest_agent.llm.openai_chat import OpenAIChat
    from pytest_agent.llm.reply import RetryAfter

    reply = OpenAIChat().error("rate_limit", None, retry_after=RetryAfter(seconds))
    assert dict(reply.headers)["retry-after"] == header
