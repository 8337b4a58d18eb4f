"""Scripts for each conversation: agents that ask at the same time each hear their own."""

import asyncio
import json
import threading

import anthropic
import httpx
import openai
import pytest

from pytest_agent import LeftoverTurns, UnansweredCall, UsageError, call
from pytest_agent.faults.site import Site
from pytest_agent.llm.conversations import conversation_of
from pytest_agent.trace import ModelReplied, ModelRequested, load_line

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def ask(text, **headers):
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": text}]}
    return HTTP.post(URL, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def said(reply):
    return reply.json()["choices"][0]["message"]["content"]


def test_headers_offer_names_the_most_telling_first():
    headers = {"x-conversation-id": "a", "traceparent": PARENT, "authorization": "Bearer sk-1", "x-api-key": "sk-2"}
    assert conversation_of(headers) == ("a", TRACE, "sk-1", "sk-2")
    assert conversation_of({"x-goog-api-key": "g", "traceparent": "00-short-1-01"}) == ("g",)
    assert conversation_of({"authorization": "Basic abc"}) == ()
    assert conversation_of(httpx.Headers({"X-Conversation-Id": "a", "API-Key": "a"})) == ("a",)


def test_each_way_of_naming_a_conversation_leads_to_it_and_the_rest_to_the_default(run_under):
    run = run_under()
    for name in ("a", TRACE, "sk-b"):
        run.llm.conversation(name).says(f"to {name}")
    run.llm.says("to nobody", "to a stranger")
    with run.inside():
        assert said(ask("x", x_conversation_id="a", traceparent=PARENT)) == "to a"
        assert said(ask("x", traceparent=PARENT)) == f"to {TRACE}"
        assert said(ask("x", authorization="Bearer sk-b")) == "to sk-b"
        assert said(ask("x")) == "to nobody"
        assert said(ask("x", x_conversation_id="nobody-declared")) == "to a stranger"
    assert [request.site for request in run.llm.requests] == [
        "llm[a]#1",
        f"llm[{TRACE}]#1",
        "llm[sk-b]#1",
        "llm#1",
        "llm#2",
    ]
    run.body_ended(None)
    run.check(None)


def test_concurrent_agents_of_one_loop_each_get_theirs(run_under):
    run = run_under()
    names = [f"agent {n}" for n in range(20)]
    for name in names:
        run.llm.conversation(name).says(*(f"{name} turn {turn}" for turn in range(3)))

    async def agent(name):
        client = openai.AsyncOpenAI(api_key="test")
        heard = []
        with run.llm.as_conversation(name):
            for turn in range(3):
                messages = [{"role": "user", "content": "the same for all"}] * (turn + 1)
                reply = await client.chat.completions.create(model="gpt-5", messages=messages)
                heard.append(reply.choices[0].message.content)
                await asyncio.sleep(1)
        return heard

    async def all_of_them():
        return await asyncio.gather(*(agent(name) for name in names))

    with run.inside():
        heard = asyncio.run(all_of_them())
    assert heard == [[f"{name} turn {turn}" for turn in range(3)] for name in names]
    assert {request.site for request in run.llm.requests} == {
        f"llm[agent%20{n}]#{turn}" for n in range(20) for turn in (1, 2, 3)
    }
    run.body_ended(None)
    run.check(None)


def test_agents_in_threads_are_told_apart_by_their_keys(run_under):
    run = run_under()
    heard = {}
    for n in range(10):
        run.llm.conversation(f"sk-{n}").says(f"one {n}", f"two {n}")

    def agent(n):
        client = anthropic.Anthropic(api_key=f"sk-{n}")
        for turn in range(2):
            messages = [{"role": "user", "content": f"the same {turn}"}]
            reply = client.messages.create(model="claude-sonnet-5-5", max_tokens=9, messages=messages)
            heard.setdefault(n, []).append(reply.content[0].text)

    with run.inside():
        threads = [threading.Thread(target=agent, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert heard == {n: [f"one {n}", f"two {n}"] for n in range(10)}


def test_a_rule_may_ask_for_the_conversation_and_its_own_come_first(run_under):
    run = run_under()
    run.llm.conversation("a").when(last="hi").says("own")
    run.llm.conversation("ab")
    run.llm.when(conversation="a").says("of a")
    run.llm.when(last="hi").says("of all")
    with run.inside():
        assert said(ask("hi", x_conversation_id="a")) == "own"
        assert said(ask("x", x_conversation_id="a")) == "of a"
        assert said(ask("hi", x_conversation_id="ab")) == "of all"
        assert said(ask("hi")) == "of all"


def test_what_is_left_over_or_missing_names_the_conversation(run_under):
    run = run_under()
    run.llm.conversation("a").says("one", "two")
    run.llm.conversation("b").says("three")
    with run.inside():
        ask("x", x_conversation_id="a")
        with pytest.raises(UnansweredCall) as caught:
            ask("y", x_conversation_id="c")
        assert str(caught.value) == (
            "model call 1 has no turn in the script, which has 0. The agent asked OpenAI Chat Completions after "
            "'user: y'. It names conversation 'c', which is not declared. Known: a, b. "
            "Add what the model says then to llm.says(...)"
        )
        ask("z", x_conversation_id="b")
        with pytest.raises(UnansweredCall) as caught:
            ask("z again", x_conversation_id="b")
        assert str(caught.value) == (
            "conversation 'b': model call 2 has no turn in the script, which has 1; its last turn was 'three'. "
            "The agent asked OpenAI Chat Completions after 'user: z again'. "
            "Add what the model says then to llm.conversation('b').says(...)"
        )
    with pytest.raises(LeftoverTurns) as leftover:
        run.llm.check_leftover()
    assert str(leftover.value) == (
        "the script of conversation 'a' has 2 turn(s) and the agent asked for 1; never asked for: 'two'. "
        "Remove what the agent no longer asks for from llm.conversation('a').says(...), "
        "or find out why it stopped early"
    )


def test_a_key_that_is_no_declared_name_is_never_shown(run_under):
    run = run_under()
    run.llm.conversation("a")
    with run.inside(), pytest.raises(UnansweredCall) as caught:
        ask("y", authorization="Bearer sk-secret")
    assert "sk-secret" not in str(caught.value)
    assert "It names none of the conversations a." in str(caught.value)


def test_only_declared_names_can_be_spoken_as(run_under):
    llm = run_under().llm
    llm.conversation("billing")
    with pytest.raises(UsageError, match=r"conversation 'biling' is not declared.* Did you mean 'billing'"):
        llm.as_conversation("biling")
    with pytest.raises(ValueError, match="needs a name"):
        llm.conversation("")


def test_a_fault_strikes_one_conversation_and_its_turn_is_said_again(run_under):
    run = run_under("stream-clean-eof(after=2)@llm[b]#1")
    for name in "ab":
        run.llm.conversation(name).says(f"one {name} more", f"two {name}")

    def stream(text, name):
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": True}
        return HTTP.post(URL, json=body, headers={"x-conversation-id": name}).content

    with run.inside():
        cut = {name: stream("x", name) for name in "ab"}
        assert b"[DONE]" in cut["a"]
        assert b"[DONE]" not in cut["b"]
        assert b"one" in stream("another question", "b")
        assert b"two" in stream("another question", "a")
    assert [(reply.site, reply.end) for reply in run.trace.of(ModelReplied)] == [
        ("llm[a]#1", "complete"),
        ("llm[b]#1", "cut"),
        ("llm[b]#2", "complete"),
        ("llm[a]#2", "complete"),
    ]


@pytest.mark.parametrize("inside", [False, True])
def test_a_tool_that_failed_makes_the_conversation_that_called_it_say_it_again(run_under, inside):
    run = run_under("reply-lost@tool:refund#1")
    tool = run.sandbox.tool("refund", effect=True)(lambda order: "done")
    for order, name in enumerate("abc"):
        run.llm.conversation(name).says(call("refund", order=order), f"Refunded {name}.")

    def use(name, order):
        if not inside:
            return tool(order=order)
        with run.llm.as_conversation(name):
            return tool(order=order)

    with run.inside():
        for name in "abc":
            ask("1", x_conversation_id=name)
        with pytest.raises(TimeoutError):
            use("b", 1)
        use("a", 0)
        use("c", 2)
        assert said(ask("2", x_conversation_id="a")) == "Refunded a."
        assert said(ask("2", x_conversation_id="b")) is None
        assert use("b", 1) == "done"
        assert said(ask("3", x_conversation_id="b")) == "Refunded b."
        assert said(ask("2", x_conversation_id="c")) == "Refunded c."


def test_ids_of_calls_differ_between_conversations_and_sites_are_read_back(run_under):
    run = run_under()
    for name in ("", "a b", "ü[1]"):
        (run.llm.conversation(name) if name else run.llm).says(call("look"))
    with run.inside():
        for name in ("a b", "ü[1]"):
            with run.llm.as_conversation(name):
                ask("x")
        ask("x")
    replies = list(run.trace.of(ModelReplied))
    assert len({reply.calls[0]["id"] for reply in replies}) == 3
    assert [Site.parse(reply.site).name for reply in replies] == ["a b", "ü[1]", ""]
    requests = [load_line(json.dumps(event.to_dict()).encode()) for event in run.trace.of(ModelRequested)]
    assert [Site.parse(request.site).name for request in requests] == ["a b", "ü[1]", ""]


def test_a_model_that_died_with_its_agents_remembers_each_conversation(run_under):
    first, second = run_under(), run_under()
    for run in (first, second):
        run.llm.conversation("a").says("a1", "a2")
        run.llm.conversation("b").says("b1")
        run.llm.says("d1", "d2")
    with first.inside():
        ask("x", x_conversation_id="a")
        ask("x")
    second.llm.restore(json.loads(json.dumps(first.llm.snapshot())))
    with second.inside():
        assert said(ask("y", x_conversation_id="a")) == "a2"
        assert said(ask("y", x_conversation_id="b")) == "b1"
        assert said(ask("y")) == "d2"
    assert [request.site for request in second.llm.requests] == ["llm[a]#2", "llm[b]#1", "llm#2"]
    assert second.llm.calls == 5


def test_a_chaos_test_strikes_each_conversation_and_replays_one(fresh, project):
    project.makepyfile(
        """
        import asyncio
        import openai
        import pytest

        async def agent(llm, name):
            with llm.as_conversation(name):
                client = openai.AsyncOpenAI(api_key="test", max_retries=2)
                messages = [{"role": "user", "content": "hi"}]
                reply = await client.chat.completions.create(model="gpt-5", messages=messages)
                return reply.choices[0].message.content

        @pytest.mark.chaos(faults=["rate-limit"], must_recover=True)
        async def test_two_agents(llm):
            for name in "ab":
                llm.conversation(name).says(f"to {name}")
            assert await asyncio.gather(*(agent(llm, name) for name in "ab")) == ["to a", "to b"]
        """
    )
    result = fresh("--chaos", "-rA")
    result.assert_outcomes(passed=1)
    assert "rate-limit" in result.stdout.str()
    replayed = fresh("--chaos-replay", "rate-limit@llm[b]#1", "-rA")
    replayed.assert_outcomes(passed=1)
    assert "survived" in replayed.stdout.str()
