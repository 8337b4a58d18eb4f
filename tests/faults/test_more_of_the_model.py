"""Further faults of the model's side: what reaches the client, byte for byte where that is the point."""

import asyncio
import json

import anthropic
import httpx
import httpx2
import openai
import pytest

from pytest_agent import ToolCall, Turn, call
from pytest_agent.errors import RunAbort
from pytest_agent.faults.effects.repeat_call import RepeatCall
from pytest_agent.faults.effects.truncate_turn import TruncateTurn
from pytest_agent.trace import FaultApplied, ModelReplied, ModelRequested

URL = "https://llm.example/v1/chat/completions"
USER = [{"role": "user", "content": "hello"}]
BODY = {"model": "gpt-5", "messages": USER, "stream": True}
CLIENT = openai.OpenAI(api_key="test", max_retries=0, timeout=30)
CLAUDE = anthropic.Anthropic(api_key="test", max_retries=0, timeout=30)
ASK = {"model": "claude-5", "max_tokens": 100, "messages": USER}


def raw(run, *turns, **more):
    run.llm.says(*turns)
    with run.inside():
        return httpx.post(URL, json={**BODY, **more}, timeout=30)


def events(reply):
    return reply.content.removesuffix(b"\n\n").split(b"\n\n")


def data(event):
    return json.loads(event.removeprefix(b"data: "))


def ask(run, stream=False, **more):
    with run.inside():
        if not stream:
            return CLIENT.chat.completions.create(model="gpt-5", messages=USER, **more)
        return list(CLIENT.chat.completions.create(model="gpt-5", messages=USER, stream=True, **more))


def clean(run_under, *turns):
    return events(raw(run_under(), *turns))


def last(run):
    return list(run.trace.of(ModelReplied))[-1]


# Streams that break.


def test_keep_alives_for_ever_are_no_life(run_under):
    run = run_under("stream-keepalive-stall(after=2)@llm")
    run.llm.says("one two")

    async def read():
        got = b""
        async with (
            asyncio.timeout(50),
            httpx.AsyncClient(timeout=20) as http,
            http.stream("POST", URL, json=BODY) as reply,
        ):
            async for piece in reply.aiter_raw():
                got += piece
                if got.count(b": keep-alive") == 3:
                    raise TimeoutError(got)

    whole = clean(run_under, "one two")
    with run.inside(), pytest.raises(TimeoutError) as caught:
        asyncio.run(read())
    assert caught.value.args[0] == b"\n\n".join(whole[:2]) + b"\n\n" + b": keep-alive\n\n" * 3
    assert run.clock.elapsed_s == 45
    assert (last(run).end, last(run).delivered) == ("closed", 2)


@pytest.mark.parametrize("sync", [True, False])
def test_who_reads_keep_alives_for_ever_is_ended(run_under, sync):
    run = run_under("stream-keepalive-stall@llm")
    run.llm.says("one two")

    async def read():
        async with httpx.AsyncClient(timeout=20) as http:
            await http.post(URL, json=BODY)

    def read_sync():
        httpx.post(URL, json=BODY, timeout=20)

    with run.inside(), pytest.raises(RunAbort, match="reads keep-alives for ever"):
        read_sync() if sync else asyncio.run(read())
    assert last(run).end == "hung"


def test_keep_alives_of_anthropic_are_pings(run_under):
    run = run_under("stream-keepalive(after=1, times=2)@llm")
    run.llm.says("Hi.")
    with run.inside():
        sent = {**ASK, "stream": True}
        headers = {"anthropic-version": "2023-06-01"}
        body = httpx.post("https://llm.example/v1/messages", json=sent, headers=headers).content
    assert body.count(b'event: ping\ndata: {"type":"ping"}\n\n') == 2 + 1  # every stream has one of its own


def test_keep_alives_and_then_the_rest(run_under):
    run = run_under("stream-keepalive@llm")
    got, whole = events(raw(run, "one two")), clean(run_under, "one two")
    assert got == [whole[0], *[b": keep-alive"] * 3, *whole[1:]]
    assert run.clock.elapsed_s == 6
    assert (last(run).end, last(run).delivered) == ("complete", 7)


@pytest.mark.parametrize("lib", [httpx, httpx2])
def test_no_first_byte_is_a_timeout_before_any_header(run_under, lib):
    run = run_under("no-first-byte@llm")
    run.llm.says("one two")
    reached = []
    with run.inside(), lib.Client(timeout=5) as http, pytest.raises(lib.ReadTimeout):
        reached.append(http.post(URL, json=BODY))
    assert not reached
    assert run.clock.elapsed_s == 5
    assert (last(run).end, last(run).delivered) == ("timeout", 0)


def test_no_first_byte_async(run_under):
    run = run_under("no-first-byte@llm")
    run.llm.says("one two")

    async def post(timeout):
        async with httpx.AsyncClient(timeout=timeout) as http:
            await http.post(URL, json=BODY)

    async def both():
        with pytest.raises(httpx.ReadTimeout):
            await post(5)

    with run.inside():
        asyncio.run(both())
    assert run.clock.elapsed_s == 5

    run = run_under("no-first-byte@llm")
    run.llm.says("one two")

    async def limited():
        async with asyncio.timeout(7):
            await post(None)

    with run.inside(), pytest.raises(TimeoutError):
        asyncio.run(limited())
    assert run.clock.elapsed_s == 7
    assert last(run).end == "closed"


def test_no_first_byte_without_any_limit_is_ended_by_the_harness(run_under):
    run = run_under("no-first-byte@llm")
    run.llm.says("one two")
    with run.inside(), pytest.raises(RunAbort, match="waits for ever"):
        httpx.post(URL, json=BODY, timeout=None)  # noqa: S113
    assert last(run).end == "hung"


def test_the_sdk_multiplies_its_own_timeout(run_under):
    from pytest_agent.faults.effects.no_first_byte import NoFirstByte
    from pytest_agent.faults.seams import Armed

    run = run_under("no-first-byte@llm")
    run.seams.armed = (Armed(run.seams.armed[0].fault, NoFirstByte(lasts="run")),)
    run.llm.says("Hi.")
    with run.inside(), pytest.raises(openai.APITimeoutError):
        CLIENT.with_options(timeout=30, max_retries=2).chat.completions.create(model="gpt-5", messages=USER)
    assert run.clock.elapsed_s > 90


@pytest.mark.parametrize("stream", [True, False])
def test_a_late_first_byte(run_under, stream):
    run = run_under("first-byte-late@llm")
    assert raw(run, "one two", stream=stream).status_code == 200
    assert run.clock.elapsed_s == 3


@pytest.mark.parametrize("lib", [httpx, httpx2])
@pytest.mark.parametrize(("how", "error"), [("reset", "ReadError"), ("incomplete", "RemoteProtocolError")])
@pytest.mark.parametrize("after", [0, 3])
def test_a_reset_is_the_error_of_the_library(run_under, lib, how, error, after):
    run = run_under(f"stream-reset(after={after}, how={how})@llm")
    run.llm.says("one two")
    got = []
    with run.inside(), lib.Client() as http, http.stream("POST", URL, json=BODY) as reply:
        with pytest.raises(getattr(lib, error)):
            got.extend(reply.iter_raw())
        assert reply.status_code == 200
    assert len(got) == after
    assert last(run).end == "cut"


def test_a_reset_async(run_under):
    run = run_under("stream-reset@llm")
    run.llm.says("one two")

    async def post():
        async with httpx.AsyncClient() as http:
            await http.post(URL, json=BODY)

    with run.inside(), pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        asyncio.run(post())


def test_byte_by_byte(run_under):
    run = run_under("stream-bytewise@llm")
    run.llm.says("Grüße, 世界")
    pieces = []
    with run.inside(), httpx.Client() as http, http.stream("POST", URL, json=BODY) as reply:
        pieces.extend(reply.iter_raw())
    assert {len(piece) for piece in pieces} == {1}
    assert b"".join(pieces) == b"".join(event + b"\n\n" for event in clean(run_under, "Grüße, 世界"))
    assert (last(run).text, last(run).heard) == ("Grüße, 世界", True)


# Errors inside a 200.


@pytest.mark.parametrize("after", [0, 2])
def test_overloaded_in_the_middle(run_under, after):
    run = run_under(f"overloaded-mid-stream(after={after})@llm")
    reply = raw(run, "one two")
    assert reply.status_code == 200
    *head, error = events(reply)
    assert head == clean(run_under, "one two")[:after]
    assert data(error)["error"]["code"] == "server_is_overloaded"
    assert (last(run).end, last(run).error_code) == ("cut", "overloaded")


def test_what_the_sdks_make_of_an_error_in_a_stream(run_under):
    run = run_under("overloaded-mid-stream@llm")
    run.llm.says("one two")
    with pytest.raises(openai.APIError, match="overloaded"):
        ask(run, stream=True)
    run = run_under("overloaded-mid-stream@llm")
    run.llm.says("one two")
    with run.inside(), pytest.raises(anthropic.APIStatusError, match="overloaded_error") as caught:
        list(CLAUDE.messages.create(**ASK, stream=True))
    assert caught.value.status_code == 200


def test_a_rate_limit_as_the_first_event(run_under):
    reply = raw(run_under("rate-limit-in-stream@llm"), "one two")
    (error,) = events(reply)
    assert (reply.status_code, data(error)["error"]["code"]) == (200, "rate_limit_exceeded")


def test_other_fields_of_the_format(run_under):
    got = events(raw(run_under("stream-other-fields@llm"), "one two"))
    assert got == [
        b": error 0\nid: %d\nretry: 3000\n" % n + event for n, event in enumerate(clean(run_under, "one two"), start=1)
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_body_in_a_200(run_under, stream):
    reply = raw(run_under("error-body-with-200@llm"), "one two", stream=stream)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"


def test_what_the_sdk_makes_of_an_error_body_in_a_200(run_under):
    run = run_under("error-body-with-200@llm")
    run.llm.says("one two")
    assert ask(run).choices is None
    run = run_under("error-body-with-200@llm")
    run.llm.says("one two")
    assert ask(run, stream=True) == []
    assert last(run).end == "cut"


# Errors with a status.


def test_a_rate_limit_passes(run_under):
    run = run_under("rate-limit@llm")
    run.llm.says("Hi.")
    with run.inside():
        reply = CLIENT.with_options(max_retries=1).chat.completions.create(model="gpt-5", messages=USER)
    assert reply.choices[0].message.content == "Hi."
    assert run.clock.elapsed_s == pytest.approx(2, abs=0.01)
    assert [event.status for event in run.trace.of(ModelReplied)] == [429, 200]


@pytest.mark.parametrize(
    ("fault", "status", "error", "code"),
    [
        ("server-error-storm", 500, openai.InternalServerError, None),
        ("context-length-exceeded", 400, openai.BadRequestError, "context_length_exceeded"),
        ("credential-expired", 401, openai.AuthenticationError, "invalid_api_key"),
        ("model-retired", 404, openai.NotFoundError, "model_not_found"),
    ],
)
def test_errors_that_last(run_under, fault, status, error, code):
    run = run_under(f"{fault}@llm#2")
    run.llm.says("Hi.", "Bye.")
    assert ask(run).choices[0].message.content == "Hi."
    for _ in range(3):
        with run.inside(), pytest.raises(error) as caught:
            CLIENT.chat.completions.create(model="gpt-5", messages=[*USER, *USER])
        assert (caught.value.status_code, caught.value.code) == (status, code)


def test_a_page_for_people(run_under):
    reply = raw(run_under("html-error-page@llm"), "one two")
    assert (reply.status_code, reply.headers["content-type"]) == (502, "text/html")
    assert reply.content.startswith(b"<html>")
    run = run_under("html-error-page@llm")
    run.llm.says("Hi.")
    with pytest.raises(openai.InternalServerError):
        ask(run)


@pytest.mark.parametrize(
    ("control", "header"),
    [
        ("retry-hint-on-success", "retry-after"),
        ("proxy-headers", "cf-ray"),
        ("token-limit-headers", "x-ratelimit-remaining-tokens"),
        ("sign-in-headers", "www-authenticate"),
        ("sunset-headers", "sunset"),
    ],
)
def test_headers_of_controls(run_under, control, header):
    reply = raw(run_under(f"{control}@llm"), "one two")
    assert header in reply.headers
    assert events(reply) == clean(run_under, "one two")


@pytest.mark.parametrize(
    ("control", "field"), [("error-null", "error"), ("filter-results-safe", "prompt_filter_results")]
)
def test_fields_of_controls(run_under, control, field):
    got = events(raw(run_under(f"{control}@llm"), "one two"))
    assert got[-1] == b"data: [DONE]"
    for event, meant in zip(got[:-1], clean(run_under, "one two")[:-1], strict=True):
        changed = data(event)
        assert changed.pop(field, 0) != 0
        assert changed == data(meant)
    assert raw(run_under(f"{control}@llm"), "one two", stream=False).json()["choices"]


# What the model says.


@pytest.mark.parametrize("stream", [True, False])
def test_a_blocked_answer(run_under, stream):
    run = run_under("content-filter@llm")
    run.llm.says(call("refund", order=7))
    reply = ask(run, stream)
    choice = reply[-1].choices[0] if stream else reply.choices[0]
    assert choice.finish_reason == "content_filter"
    assert (last(run).end, last(run).error_code, last(run).calls, last(run).text) == (
        "complete",
        "content_filter",
        [],
        "",
    )
    run = run_under("content-filter@llm")
    run.llm.says("Hi.")
    with run.inside():
        refused = CLAUDE.messages.create(**ASK)
    assert (refused.stop_reason, refused.content) == ("refusal", [])


@pytest.mark.parametrize(("how", "arguments"), [("open", '{"order": 7, '), ("closed", '{"order": 7}')])
def test_cut_by_length(run_under, how, arguments):
    run = run_under(f"truncated-by-length(how={how})@llm")
    run.llm.says([call("first", a=1), call("refund", order=7, amount=20)])
    choice = ask(run).choices[0]
    assert choice.finish_reason == "length"
    assert [made.function.arguments for made in choice.message.tool_calls] == ['{"a": 1}', arguments]
    assert last(run).heard is False


@pytest.mark.parametrize("broken", ["{broken", "[1]"])
def test_cut_by_length_of_what_was_never_an_object(broken):
    turn = TruncateTurn(how="closed").change_turn(Turn(calls=(ToolCall("refund", broken),)))
    assert turn.calls[0].arguments == "{}"


@pytest.mark.parametrize(("fault", "reason"), [("empty-completion", "stop"), ("stop-without-calls", "tool_calls")])
def test_turns_with_nothing_in_them(run_under, fault, reason):
    run = run_under(f"{fault}@llm")
    run.llm.says(call("refund", order=7), "Done.")
    choice = ask(run).choices[0]
    assert (choice.finish_reason, choice.message.content or "", choice.message.tool_calls) == (reason, "", None)
    with run.inside():
        again = CLIENT.chat.completions.create(model="gpt-5", messages=[*USER, {"role": "user", "content": "well?"}])
    assert again.choices[0].message.tool_calls[0].function.name == "refund"


def test_an_empty_delta(run_under):
    got, whole = events(raw(run_under("empty-delta@llm"), "one two")), clean(run_under, "one two")
    assert got == [whole[0], got[1], *whole[1:]]
    assert data(got[1])["choices"][0]["delta"] == {"content": ""}


def test_a_late_finish(run_under):
    run = run_under("finish-late@llm")
    assert events(raw(run, call("a", x=1))) == clean(run_under, call("a", x=1))
    assert run.clock.elapsed_s == 3


@pytest.mark.parametrize(("how", "name"), [("suffix", "payments_refund_v2"), ("prefix", "functions_payments_refund")])
def test_a_tool_that_there_is_not(run_under, how, name):
    run = run_under(f"unknown-tool(how={how})@llm")
    run.llm.says(call("payments.refund", order=7))
    tools = [{"type": "function", "function": {"name": "payments_refund", "parameters": {}}}]
    (made,) = ask(run, tools=tools).choices[0].message.tool_calls
    assert (made.function.name, made.function.arguments) == (name, '{"order": 7}')


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("how", "id_"), [("same", "call_0"), ("blank", "")])
def test_ids_that_tell_nothing_apart(run_under, how, id_, stream):
    run = run_under(f"duplicate-call-ids(how={how})@llm")
    run.llm.says([call("a", x=1), call("b", x=2)], call("c"))
    ask(run, stream)
    with run.inside():
        CLIENT.chat.completions.create(model="gpt-5", messages=[*USER, *USER])
    made = [said for event in run.trace.of(ModelReplied) for said in event.calls]
    assert [(said["name"], said["id"]) for said in made] == [("a", id_), ("b", id_), ("c", id_)]


def test_unusual_ids_are_unique(run_under):
    run = run_under("unusual-ids@llm")
    run.llm.says([call("a", x=1), call("a", x=1)])
    first, second = ask(run).choices[0].message.tool_calls
    assert first.id != second.id
    assert first.id.startswith("chatcmpl-tool-")


@pytest.mark.parametrize(
    ("control", "pieces"),
    [("call-in-one-piece", ['{"k": "é\\"\\n"}']), ("arguments-by-character", list('{"k": "é\\"\\n"}'))],
)
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_arguments_in_other_pieces(run_under, control, pieces, wire):
    run = run_under(f"{control}@llm")
    run.llm.says(Turn("é", calls=(ToolCall("a", '{"k": "é\\"\\n"}'), ToolCall("b", '{"k": "é\\"\\n"}'))))
    got = {0: [], 1: []}
    with run.inside():
        if wire == "openai":
            for chunk in CLIENT.chat.completions.create(model="gpt-5", messages=USER, stream=True):
                for piece in chunk.choices[0].delta.tool_calls or []:
                    got[piece.index].append(piece.function.arguments)
            got = {index: said[1:] for index, said in got.items()}  # the first says the name
        else:
            for event in CLAUDE.messages.create(**ASK, stream=True):
                if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                    got[event.index - 1].append(event.delta.partial_json)
    assert got == {0: pieces, 1: pieces}
    assert [said["arguments"] for said in last(run).calls] == ['{"k": "é\\"\\n"}'] * 2
    assert last(run).heard is True


def test_the_same_call_again_and_again(run_under):
    run = run_under("model-repeats-call@llm#2")
    run.llm.says(call("lookup", order=7), "Done.")
    messages, made = list(USER), []
    for _ in range(4):
        with run.inside():
            message = CLIENT.chat.completions.create(model="gpt-5", messages=messages).choices[0].message
        (wanted,) = message.tool_calls
        made.append(wanted)
        messages += [
            message.model_dump(include={"role", "tool_calls"}),
            {"role": "tool", "tool_call_id": wanted.id, "content": "7"},
        ]
    assert {(each.function.name, each.function.arguments) for each in made} == {("lookup", '{"order": 7}')}
    assert len({each.id for each in made}) == 4
    assert [event.heard for event in run.trace.of(ModelReplied)] == [True, False, False, False]


def test_there_is_nothing_to_repeat_at_the_first_call(run_under):
    run = run_under("model-repeats-call@llm")
    run.llm.says("Hi.")
    assert ask(run).choices[0].message.content == "Hi."
    assert not list(run.trace.of(FaultApplied))
    effect = RepeatCall(pure_only=True)
    assert list(effect.variants({"called": True, "pure": False}, ())) == []
    assert list(effect.variants({"called": True, "pure": True}, ())) == [effect]


@pytest.mark.parametrize("calls", ["x", ["x"], [{"function": "x"}], [{"function": {}}]])
def test_a_history_that_is_none_is_refused_and_not_repeated(run_under, calls):
    run = run_under("model-repeats-call@llm")
    run.llm.says("Hi.")
    odd = {"role": "assistant", "tool_calls": calls, "content": None}
    with run.inside():
        reply = httpx.post(URL, json={"model": "gpt-5", "messages": [*USER, odd]})
    assert reply.json()["error"]["param"].startswith("messages[1].tool_calls")
    assert not list(run.trace.of(FaultApplied))


def test_a_request_that_no_context_holds_is_refused(run_under):
    run = run_under()
    run.llm.says("Hi.")
    with run.inside(), pytest.raises(openai.BadRequestError) as caught:
        CLIENT.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "x" * 800_000}])
    assert caught.value.code == "context_length_exceeded"
    assert not list(run.trace.of(ModelRequested))
