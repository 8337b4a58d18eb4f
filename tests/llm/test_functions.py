"""A function says what rules and script leave open; its errors are the test's own."""

import functools
import re
from contextlib import suppress

import httpx
import openai
import pytest

from pytest_agent import ModelRequest, Turn, UnansweredCall, call
from pytest_agent.errors import RunAbort

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()
CLIENT = openai.OpenAI(api_key="test")


def ask(text):
    reply = CLIENT.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": text}])
    return reply.choices[0].message


def test_a_function_answers_each_request_in_any_form_of_says(run_under):
    run = run_under()
    forms = {"text": "Hello.", "call": call("look"), "json": {"n": 1}, "turn": Turn("cut", stop="length")}
    heard = []

    def answer(request: ModelRequest):
        heard.append((request.model, request.history[-1].text))
        return forms[request.history[-1].text]

    run.llm.answers_with(answer)
    with run.inside():
        assert ask("text").content == "Hello."
        assert ask("call").tool_calls[0].function.name == "look"
        assert ask("json").content == '{"n": 1}'
        assert ask("turn").content == "cut"
    assert heard == [("gpt-5", form) for form in forms]
    run.body_ended(None)
    run.check(None)


def test_rules_then_the_script_then_the_function(run_under):
    run = run_under()
    run.llm.answers_with(lambda request: "function")
    run.llm.says("script")
    run.llm.when(last="rule").says("rule")
    with run.inside():
        assert [ask(text).content for text in ("1", "a rule", "2")] == ["script", "rule", "function"]


def test_the_retry_of_a_call_hears_the_same_turn(run_under):
    run = run_under("rate-limit@llm#2")
    counted = iter(range(10))
    run.llm.answers_with(lambda request: f"answer {next(counted)}")
    with run.inside():
        assert [ask(text).content for text in "abc"] == ["answer 0", "answer 1", "answer 2"]
    assert [request.site for request in run.llm.requests] == ["llm#1", "llm#2", "llm#2/2", "llm#3"]


def broken(request):
    raise KeyError(request.model)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (broken, r"KeyError: 'gpt-5' at test_functions.py:\d+ in broken\."),
        (lambda request: 7, r"TypeError: the model cannot say 7 \(int\)"),
    ],
)
def test_an_error_in_the_function_fails_the_test_whatever_the_agent_swallows(run_under, function, problem):
    run = run_under()
    run.llm.answers_with(function)
    with run.inside(), suppress(Exception):
        ask("x")
    run.body_ended(None)
    with pytest.raises(UnansweredCall) as caught:
        run.check(None)
    text = str(caught.value)
    assert re.search(f"what the test says at model call 1 raised {problem}", text)
    assert "The agent has no part in this" in text


def test_an_async_function_is_refused(run_under):
    async def answer(request, more=None):
        return "x"

    class Answers:
        async def __call__(self, request):
            return "x"

    for function in (answer, Answers(), functools.partial(answer, more=1)):
        with pytest.raises(TypeError, match=r"is async; llm\.answers_with takes a plain function"):
            run_under().llm.answers_with(function)


def test_an_agent_that_a_function_keeps_going_for_ever_is_ended(run_under, monkeypatch):
    run = run_under()
    monkeypatch.setattr(run.llm._scripts.default, "_most_calls", 100)
    run.llm.answers_with(lambda request: call("again"))

    def agent():
        for n in range(1000):
            HTTP.post(URL, json={"model": "m", "messages": [{"role": "user", "content": str(n)}]})

    with run.inside(), pytest.raises(RunAbort, match="the agent made 101 model calls and does not stop"):
        agent()
