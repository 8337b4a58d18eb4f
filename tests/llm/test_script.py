"""The script is strict in a clean run, and behaves as a model does under faults."""

import asyncio
import itertools
import threading
from contextlib import suppress

import httpx
import openai
import pytest

from pytest_agent import LeftoverTurns, ToolCall, Turn, UnansweredCall, call
from pytest_agent.errors import RunAbort
from pytest_agent.llm.turn import to_turn
from pytest_agent.trace import ModelReplied, RunAborted, Unanswered

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()
CLIENT = openai.OpenAI(api_key="test")


def ask(content="hello", **more):
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": content}], **more}
    return HTTP.post(URL, json=body)


def for_ever(step):
    while True:
        step()


def said(reply):
    return reply.json()["choices"][0]["message"]["content"]


def test_a_turn_left_over_fails_the_test(run_under):
    run = run_under()
    run.llm.says("one", call("refund", order=7), "three")
    with run.inside():
        ask()
    run.body_ended(None)
    with pytest.raises(LeftoverTurns) as caught:
        run.check(None)
    assert str(caught.value) == (
        "the script has 3 turn(s) and the agent asked for 1; never asked for: refund({\"order\": 7}), 'three'. "
        "Remove what the agent no longer asks for from llm.says(...), or find out why it stopped early"
    )


@pytest.mark.parametrize("async_", [False, True])
def test_a_turn_too_few_fails_the_test_whatever_the_agent_swallows(run_under, async_):
    run = run_under()
    run.llm.says("only this")
    messages = [{"role": "user", "content": "and now?"}]

    async def swallow():
        client = openai.AsyncOpenAI(api_key="test")
        with suppress(Exception):
            await client.chat.completions.create(model="gpt-5", messages=messages)

    with run.inside():
        ask()
        if async_:
            asyncio.run(swallow())
        else:
            with suppress(Exception):
                CLIENT.chat.completions.create(model="gpt-5", messages=messages)
    run.body_ended(None)
    with pytest.raises(UnansweredCall) as caught:
        run.check(None)
    assert str(caught.value) == (
        "model call 2 has no turn in the script, which has 1; its last turn was 'only this'. "
        "The agent asked OpenAI Chat Completions after 'user: and now?'. "
        "Add what the model says then to llm.says(...)"
    )


def test_a_new_conversation_hears_nothing_of_what_the_last_one_left_over(run_under):
    run = run_under("rate-limit@llm#1")
    run.llm.says("lost", "never asked for")
    with run.inside():
        assert ask().status_code == 429
        run.llm.new_conversation()
        run.llm.says("of the next task", "and more")
        assert [said(ask("next")), said(ask("on"))] == ["of the next task", "and more"]


def test_a_new_conversation_is_refused_where_turns_are_left_over(run_under):
    run = run_under()
    run.llm.says("one", "two")
    with run.inside():
        ask()
        with pytest.raises(LeftoverTurns, match="'two'"):
            run.llm.new_conversation()


def test_an_agent_that_never_takes_no_for_an_answer_is_ended(run_under):
    run = run_under()

    def agent():
        while True:
            with suppress(UnansweredCall):
                return ask()

    with run.inside(), pytest.raises(RunAbort, match="runaway") as caught:
        agent()
    run.body_ended(caught.value)
    assert next(run.trace.of(RunAborted)).reason == "runaway"
    with pytest.raises(UnansweredCall, match="has no turn in the script, which has 0"):
        run.check(caught.value)


def test_an_agent_that_retries_a_permanent_error_for_ever_is_ended(run_under):
    run = run_under("insufficient-quota@llm")
    run.llm.says("Hi.")
    with run.inside(), pytest.raises(RunAbort, match="has tried model call 1 200 times"):
        for_ever(ask)


def test_an_agent_that_repeats_a_refused_request_for_ever_is_ended(run_under):
    run = run_under()
    with run.inside(), pytest.raises(RunAbort, match="200 requests that are refused"):
        for_ever(lambda: ask(messages=[]).status_code == 400 or pytest.fail("not refused"))


def test_an_agent_that_asks_new_questions_for_ever_is_ended(run_under):
    run = run_under("stream-pause@llm")
    run.llm.says("one")
    numbers = itertools.count()
    with run.inside(), pytest.raises(RunAbort, match="does not stop"):
        for_ever(lambda: ask(f"question {next(numbers)}", stream=True))


def test_turns_in_order_and_what_the_model_cannot_say():
    assert to_turn("x") == Turn("x")
    assert to_turn(call("a", n=1)) == Turn(calls=(ToolCall("a", '{"n": 1}'),))
    assert to_turn({"answer": "€"}) == Turn('{"answer": "€"}')
    assert to_turn([call("a"), call("b")]).calls == (call("a"), call("b"))
    for nonsense in (None, 7, [], ["text"], [call("a"), "text"]):
        with pytest.raises(TypeError, match="the model cannot say"):
            to_turn(nonsense)
    with pytest.raises(TypeError, match="not JSON serializable"):
        call("a", x=object())


def test_the_same_question_once_more_is_the_next_call(run_under):
    run = run_under()
    run.llm.says("one", "two")
    with run.inside():
        assert [said(ask()), said(ask())] == ["one", "two"]
    assert [request.site for request in run.llm.requests] == ["llm#1", "llm#2"]
    assert run.llm.calls == 2


def test_the_same_question_in_parallel_is_two_calls(run_under):
    """Self-consistency: several samples of one prompt, streamed at once."""
    run = run_under()
    run.llm.says("one", "two")
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "x"}], "stream": True}

    async def sample(http):
        async with http.stream("POST", URL, json=body) as reply:
            return (await reply.aread()).decode()

    async def both():
        async with httpx.AsyncClient() as http, http.stream("POST", URL, json=body) as first:
            second = await sample(http)
            return (await first.aread()).decode(), second

    with run.inside():
        first, second = asyncio.run(both())
    assert '"one"' in first
    assert '"two"' in second
    assert [request.site for request in run.llm.requests] == ["llm#1", "llm#2"]


def test_the_same_question_after_a_cut_is_an_attempt(run_under):
    run = run_under("stream-clean-eof(after=2)@llm")
    run.llm.says("one two", "three")
    with run.inside():
        ask(stream=True)
        assert b"[DONE]" in ask(stream=True).content
        assert said(ask("more")) == "three"
    assert [(reply.site, reply.end, reply.heard) for reply in run.trace.of(ModelReplied)] == [
        ("llm#1", "cut", False),
        ("llm#1/2", "complete", True),
        ("llm#2", "complete", True),
    ]


def test_an_abandoned_read_of_a_stalled_stream_is_tried_again_as_an_attempt(run_under):
    """The first stream is never closed: the agent merely stops waiting for its next event."""
    run = run_under("stream-stall(after=1)@llm")
    run.llm.says("one")

    async def agent():
        http = httpx.AsyncClient(timeout=None)  # noqa: S113 - the point
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
        request = http.build_request("POST", URL, json=body)
        stuck = await http.send(request, stream=True)
        pieces = stuck.aiter_raw()
        await anext(pieces)
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.wait([waiting], timeout=3)
        again = await http.send(http.build_request("POST", URL, json=body))
        waiting.cancel()
        await asyncio.wait([waiting])
        await stuck.aclose()
        return again

    with run.inside():
        assert b"[DONE]" in asyncio.run(agent()).content
    assert [request.site for request in run.llm.requests] == ["llm#1", "llm#1/2"]


def test_an_idempotency_key_makes_an_attempt_of_another_body(run_under):
    run = run_under()
    run.llm.says("one", "two")
    with run.inside(), httpx.Client(headers={"idempotency-key": "k"}) as http:
        bodies = [{"model": "m", "messages": [{"role": "user", "content": text}]} for text in "ab"]
        assert [said(http.post(URL, json=body)) for body in bodies] == ["one", "one"]
    assert [request.site for request in run.llm.requests] == ["llm#1", "llm#1/2"]


def test_the_sdk_says_that_it_retries(run_under):
    """The reply was whole, and something between the SDK and us lost it."""
    run = run_under()
    run.llm.says("one", "two")
    with run.inside(), httpx.Client() as http:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        http.post(URL, json=body)
        assert said(http.post(URL, json=body, headers={"x-stainless-retry-count": "1"})) == "one"


def test_a_turn_whose_tool_reply_was_lost_is_said_again(run_under):
    run = run_under("reply-lost@tool:refund")
    tool = run.sandbox.tool("refund", effect=True)(lambda order: "done")
    other = run.sandbox.tool("note")(lambda: "noted")
    run.llm.says([call("refund", order=7), call("note")], "Refunded.")
    with run.inside():
        ask("1")
        with pytest.raises(TimeoutError):
            tool(order=7)
        other()
        again = ask("2").json()["choices"][0]["message"]
        assert [c["function"]["name"] for c in again["tool_calls"]] == ["refund", "note"]
        assert tool(order=7) == "done"
        assert said(ask("3")) == "Refunded."


def test_of_two_parallel_calls_of_one_tool_the_lost_one_counts(run_under):
    run = run_under("reply-lost@tool:refund#1")
    tool = run.sandbox.tool("refund", effect=True)(lambda order: "done")
    run.llm.says([call("refund", order=7), call("refund", order=8)], "Refunded.")
    with run.inside():
        ask("1")
        with pytest.raises(TimeoutError):
            tool(order=7)
        tool(order=8)
        assert said(ask("2")) is None


def test_questions_from_many_threads_are_all_on_record(run_under):
    run = run_under()
    run.llm.says(*(f"turn {n}" for n in range(20)))
    heard = []
    with run.inside():
        threads = [threading.Thread(target=lambda n=n: heard.append(said(ask(f"q{n}")))) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(heard) == sorted(f"turn {n}" for n in range(20))
    assert [event.seq for event in run.trace.events] == list(range(1, len(run.trace.events) + 1))


def test_after_the_end_of_the_script_a_faulted_model_repeats_its_last_turn(run_under):
    run = run_under("stream-pause@llm")
    run.llm.says("only")
    with run.inside():
        ask("1", stream=True)
        assert said(ask("2")) == "only"
    assert not list(run.trace.of(Unanswered))


def test_through_the_plugin(pytester):
    """A swallowed refusal and a forgotten turn, each seen by a person who runs pytest."""
    pytester.makepyfile(
        """
        import openai
        client = openai.OpenAI(api_key="test")

        def agent(question):
            try:
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
            except Exception:
                pass

        def test_extra(llm):
            llm.says("one")
            agent("a")
            agent("b")

        def test_leftover(llm):
            llm.says("one", "two")
            agent("a")

        def test_right(llm):
            llm.says("one")
            agent("a")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*model call 2 has no turn in the script*", "*never asked for: 'two'*"])
