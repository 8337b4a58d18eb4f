"""Rules: the first that fits wins over the script, and one that never fits says why."""

import json
import re

import anthropic
import httpx
import openai
import pytest

from pytest_agent import LeftoverTurns, Turn, UnansweredCall, call

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()
OPENAI = openai.OpenAI(api_key="test")
ANTHROPIC = anthropic.Anthropic(api_key="test")


def user(text):
    return {"role": "user", "content": text}


def ask(*messages, model="gpt-5", **more):
    reply = OPENAI.chat.completions.create(model=model, messages=list(messages), **more)
    return reply.choices[0].message


def ask_anthropic(*messages, **more):
    reply = ANTHROPIC.messages.create(model="claude-sonnet-5-5", max_tokens=100, messages=list(messages), **more)
    return reply.content[0].text


def checked(run, error=None):
    run.body_ended(error)
    run.check(error)


def test_the_first_rule_that_fits_wins_over_the_script(run_under):
    run = run_under()
    run.llm.when(last="weather").says("Sunny.")
    run.llm.when(last=re.compile(r"order \d+")).says("Found.")
    run.llm.when(last=lambda text: text.endswith("7?")).says("Never.")
    run.llm.says("From the script.")
    with run.inside():
        assert ask(user("the weather?")).content == "Sunny."
        assert ask(user("where is order 7?")).content == "Found."
        assert ask(user("hello")).content == "From the script."
        assert ask(user("the weather tomorrow?")).content == "Sunny."
    run.body_ended(None)
    with pytest.raises(LeftoverTurns) as caught:
        run.check(None)
    assert str(caught.value) == (
        "llm.when(last=<lambda>) was never used: model call 2 fits it, and another rule or the rest of its turns came "
        "first. Correct its conditions, remove it, or make it optional=True"
    )


def test_each_condition_looks_where_it_says(run_under):
    run = run_under()
    llm = run.llm
    llm.when(tool_result="paid", model="gpt").says("It is paid.")
    llm.when(system="pirate", turn=lambda n: n > 1).says("Arr.")
    llm.when(turn=1).says("first")
    asked = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look"}}]}
    asked["tool_calls"][0]["function"]["arguments"] = "{}"
    paid = [user("?"), asked, {"role": "tool", "tool_call_id": "c1", "content": "paid in full"}]
    with run.inside():
        assert ask({"role": "system", "content": "a pirate"}, user("hello")).content == "first"
        assert ask(*paid).content == "It is paid."
        assert ask({"role": "system", "content": "a pirate"}, user("hello 2")).content == "Arr."
        # The result is of an earlier turn: the model has spoken since.
        with pytest.raises(UnansweredCall, match="tool_result: there is none, expected 'paid' in it"):
            HTTP.post(URL, json={"model": "gpt-5", "messages": [*paid, {"role": "assistant", "content": "x"}]})


def test_both_wires_tell_the_same_to_a_rule(run_under):
    run = run_under()
    run.llm.when(tool_result=re.compile("^paid"), system="be brief").says("Yes.")
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "paid"}
    history = [user("?"), {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    with run.inside():
        assert ask_anthropic(*history, system="be brief") == "Yes."
    checked(run)


def test_a_rule_says_several_turns_in_a_row_and_as_often_as_it_may(run_under):
    run = run_under()
    run.llm.when(last="refund", times=1).says(call("lookup", id=7), "Refunded.")
    run.llm.when(last="refund").says("Not again.")
    with run.inside():
        assert ask(user("refund")).tool_calls[0].function.name == "lookup"
        assert ask(user("no matter what")).content == "Refunded."
        assert ask(user("refund 2")).content == "Not again."
        assert ask(user("refund 3")).content == "Not again."
    checked(run)


def test_turns_of_a_rule_that_are_not_asked_for_are_left_over_unless_it_is_optional(run_under):
    run = run_under()
    run.llm.when(last="a").says("one", "two")
    run.llm.when(last="never", optional=True).says("three")
    with run.inside():
        ask(user("a"))
    run.body_ended(None)
    with pytest.raises(LeftoverTurns) as caught:
        run.check(None)
    assert str(caught.value) == (
        "llm.when(last='a') has 2 turn(s) and the agent asked for 1; never asked for: 'two'. "
        "Shorten the rule, or find out why the agent stopped early"
    )


def test_a_rule_that_never_fits_is_told_with_the_nearest_request(run_under):
    run = run_under()
    run.llm.when(last="refund order", model="gpt-5").says("Done.")
    run.llm.when(turn=9)
    run.llm.says("a", "b")
    with run.inside():
        ask(user("please refnd order 7"))
        ask(user("and now?"))
    run.body_ended(None)
    with pytest.raises(LeftoverTurns) as caught:
        run.check(None)
    assert str(caught.value) == (
        "llm.when(last='refund order', model='gpt-5') never fitted; nearest was model call 1: last: found "
        "'please refnd order 7', expected 'refund order' in it (nearest: 'refnd order'). "
        "Correct its conditions, remove it, or make it optional=True\n"
        "llm.when(turn=9) says nothing; add .says(...) to it, or remove it"
    )


def test_a_call_that_no_rule_takes_is_told_with_the_rule_that_came_closest(run_under):
    run = run_under()
    run.llm.when(last="weather", model="gpt-5-mini").says("Sunny.")
    run.llm.when(last="refund", model="gpt-5").says("Done.")
    with run.inside(), pytest.raises(UnansweredCall) as caught:
        HTTP.post(URL, json={"model": "gpt-5", "messages": [user("please refnd it")]})
    assert str(caught.value) == (
        "model call 1 has no turn in the script, which has 0. The agent asked OpenAI Chat Completions after "
        "'user: please refnd it'. Of 2 rule(s) llm.when(last='refund', model='gpt-5') came closest: last: found "
        "'please refnd it', expected 'refund' in it (nearest: 'refnd'). Add what the model says then to llm.says(...)"
    )


def test_a_rule_that_is_used_up_says_so(run_under):
    run = run_under()
    run.llm.when(last="hi", times=1).says("Hi.")
    with run.inside():
        ask(user("hi"))
        with pytest.raises(UnansweredCall, match=r"came closest: it may fit 1 time\(s\) in one conversation and has"):
            HTTP.post(URL, json={"model": "gpt-5", "messages": [user("hi there")]})


@pytest.mark.parametrize("said", ["refnd", "refund"])
def test_a_script_that_calls_what_the_agent_does_not_declare_says_so(run_under, said):
    run = run_under()
    run.llm.says(call(said), "never asked")
    tool = {"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}
    with run.inside():
        ask(user("x"), tools=[tool])
    run.body_ended(None)
    with pytest.raises(LeftoverTurns) as caught:
        run.check(None)
    note = (
        "Note that turn 1 of the script, said at model call 1, calls 'refnd', which the agent did not declare. "
        "Did you mean 'refund'? Known: refund."
    )
    assert (note in str(caught.value)) is (said == "refnd")


def test_a_retry_hears_the_turn_of_its_call_again(run_under):
    run = run_under("rate-limit@llm")
    run.llm.when(last="hi", times=1).says("Hi.")
    with run.inside():
        assert ask(user("hi")).content == "Hi."
    assert [request.site for request in run.llm.requests] == ["llm#1", "llm#1/2"]


def test_a_rule_whose_turn_did_not_arrive_says_it_again(run_under):
    run = run_under("stream-clean-eof(after=2)@llm")
    run.llm.when(last="hi", times=1).says("one two three")
    body = {"model": "m", "stream": True}
    with run.inside():
        HTTP.post(URL, json={**body, "messages": [user("hi")]})
        assert b"three" in HTTP.post(URL, json={**body, "messages": [user("hi again")]}).content
    assert [request.site for request in run.llm.requests] == ["llm#1", "llm#2"]


def test_a_rule_whose_tool_failed_says_it_again_and_goes_on(run_under):
    run = run_under("reply-lost@tool:refund")
    tool = run.sandbox.tool("refund", effect=True)(lambda order: "done")
    run.llm.when(last="please").says(call("refund", order=7), "Refunded.")
    with run.inside():
        ask(user("please"))
        with pytest.raises(TimeoutError):
            tool(order=7)
        assert ask(user("it failed")).tool_calls[0].function.name == "refund"
        assert tool(order=7) == "done"
        assert ask(user("done")).content == "Refunded."


def test_what_a_rule_cannot_ask_is_refused(run_under):
    llm = run_under().llm
    with pytest.raises(TypeError, match=r"llm.when\(\) asks for nothing; give one of last, tool_result"):
        llm.when()
    with pytest.raises(TypeError, match=r"llm.when\(turn='1'\): expected a number or a predicate, found '1'"):
        llm.when(turn="1")
    with pytest.raises(TypeError, match=r"llm.conversation\('a'\).when\(last=7\): expected text, a compiled"):
        llm.conversation("a").when(last=7)
    with pytest.raises(ValueError, match="times=0"):
        llm.when(last="x", times=0)
    with pytest.raises(TypeError, match=r"llm.when\(last='x'\).says\(\) says nothing"):
        llm.when(last="x").says()
    with pytest.raises(TypeError, match="the model cannot say 7"):
        llm.when(last="x").says(7)


def test_a_predicate_that_raises_is_an_error_of_the_test(run_under):
    run = run_under()
    run.llm.when(last=lambda text: text["no"]).says("x")
    with run.inside(), pytest.raises(UnansweredCall) as caught:
        HTTP.post(URL, json={"model": "gpt-5", "messages": [user("hi")]})
    assert re.match(
        r"what the test says at model call 1 raised TypeError: string indices must be integers.* "
        r"at test_rules.py:\d+ in <lambda>. The agent has no part in this: correct the predicate of llm.when",
        str(caught.value),
    )


def test_a_predicate_that_raises_only_where_it_was_not_asked_is_no_match(run_under):
    run = run_under()
    run.llm.when(last="bye", model=lambda name: name["no"]).says("x")
    with run.inside(), pytest.raises(UnansweredCall) as caught:
        HTTP.post(URL, json={"model": "gpt-5", "messages": [user("hi")]})
    assert "last: found 'hi', expected 'bye' in it; model: <lambda> raised TypeError: string " in str(caught.value)


def test_a_model_that_died_with_its_agent_goes_on_with_its_rules(run_under):
    def told(run):
        run.llm.when(last="go", times=1).says(call("a"), Turn("two"), "three")
        run.llm.when(last="go").says("later")

    first, second = run_under(), run_under()
    told(first)
    told(second)
    with first.inside():
        ask(user("go"))
    second.llm.restore(json.loads(json.dumps(first.llm.snapshot())))
    with second.inside():
        assert [ask(user(f"go {n}")).content for n in range(3)] == ["two", "three", "later"]
    assert second.llm.usage.calls == 4
    checked(second)
