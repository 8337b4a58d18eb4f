"""Tokens and USD, counted where requests arrive, attempts apart from calls."""

from contextlib import suppress

import anthropic
import httpx
import openai
import pytest

from pytest_agent import Turn, Usage
from pytest_agent.llm.usage import Spent

URL = "https://llm.example/v1/chat/completions"
HTTP = httpx.Client()
OPENAI = openai.OpenAI(api_key="k")
ASK = {"messages": [{"role": "user", "content": "hi"}]}


def test_calls_tokens_and_usd_by_model(run_under):
    run = run_under()
    run.llm.says(
        Turn("one", usage=Usage(1000, 200, cached_tokens=400)),
        Turn("two", usage=Usage(10, 20, reasoning_tokens=5)),
        Turn("three", usage=Usage(1, 2)),
    )
    assert run.llm.usage == Spent()
    assert run.llm.cost_usd == 0
    with run.inside():
        OPENAI.chat.completions.create(model="gpt-5", **ASK)
        anthropic.Anthropic(api_key="k").messages.create(model="claude-sonnet-5-5-20261001", max_tokens=9, **ASK)
        OPENAI.chat.completions.create(model="gpt-5-2025-08-07", **ASK)
    spent = run.llm.usage_by_model
    assert set(spent) == {"gpt-5", "claude-sonnet-5-5-20261001", "gpt-5-2025-08-07"}
    assert spent["gpt-5"] == Spent(1, 1, 1000, 200, 400, 0, pytest.approx(0.0028))
    assert spent["claude-sonnet-5-5-20261001"].cost_usd == pytest.approx(0.00022)
    assert run.llm.usage == Spent(3, 3, 1011, 222, 400, 5, pytest.approx(0.0028 + 0.00022 + 0.00002125))
    assert run.llm.cost_usd == run.llm.usage.cost_usd


def test_attempts_are_counted_apart_and_an_error_costs_nothing(run_under):
    run = run_under("rate-limit@llm")
    run.llm.says(Turn("one", usage=Usage(1000, 0)))
    with run.inside():
        OPENAI.chat.completions.create(model="gpt-5", **ASK)
    assert run.llm.usage == Spent(1, 2, 1000, 0, 0, 0, pytest.approx(0.00125))


def test_a_turn_that_was_cut_is_paid_for_as_the_one_that_is_said_again(run_under):
    run = run_under("stream-clean-eof(after=2)@llm")
    run.llm.says(Turn("one two three", usage=Usage(1000, 0)))
    with run.inside():
        for _ in range(2):
            HTTP.post(URL, json={"model": "gpt-5", "stream": True, **ASK})
    assert run.llm.usage == Spent(1, 2, 2000, 0, 0, 0, pytest.approx(0.0025))


def test_what_the_client_is_told_is_what_is_counted(run_under):
    run = run_under()
    run.llm.says("some words that have no usage of their own", "more")
    with run.inside():
        told = OPENAI.chat.completions.create(model="gpt-5", **ASK).usage
        message = anthropic.Anthropic(api_key="k").messages.create(model="gpt-5", max_tokens=9, **ASK)
    assert told.prompt_tokens + message.usage.input_tokens == run.llm.usage.input_tokens > 0
    assert told.completion_tokens + message.usage.output_tokens == run.llm.usage.output_tokens > 0


def test_a_model_without_a_price_makes_the_cost_unknown_and_not_zero(run_under):
    run = run_under()
    run.llm.says("one", "two")
    with run.inside():
        OPENAI.chat.completions.create(model="gpt-5", **ASK)
        assert run.llm.cost_usd is not None
        OPENAI.chat.completions.create(model="house-model", **ASK)
    assert run.llm.cost_usd is None
    assert run.llm.usage_by_model["gpt-5"].cost_usd is not None


def test_own_prices_hold_from_when_they_are_given(run_under):
    run = run_under()
    run.llm.prices = run.llm.prices.with_overrides({"house-model": {"input": 1, "output": 2}})
    run.llm.says(Turn("one", usage=Usage(1_000_000, 500_000)))
    with run.inside():
        OPENAI.chat.completions.create(model="house-model", **ASK)
    assert run.llm.cost_usd == 2


def test_each_request_is_priced_by_its_own_length(run_under):
    """Two requests of 200,000 tokens are no long one of 400,000."""
    run = run_under()
    run.llm.says(*(Turn("x", usage=Usage(200_000, 0)) for _ in range(2)))
    with run.inside():
        for _ in range(2):
            OPENAI.chat.completions.create(model="gpt-5.4", **ASK)
    assert run.llm.cost_usd == pytest.approx(2 * 200_000 * 2.5 / 1e6)


def test_conversations_are_counted_by_themselves(run_under):
    run = run_under()
    for name in "ab":
        run.llm.conversation(name).says(Turn("x", usage=Usage(10, 1)))
    run.llm.says(Turn("y", usage=Usage(5, 1)))
    with run.inside():
        for name in "ab":
            with run.llm.as_conversation(name):
                OPENAI.chat.completions.create(model="gpt-5", **ASK)
        OPENAI.chat.completions.create(model="gpt-5", **ASK)
    assert [run.llm.conversation(name).usage.input_tokens for name in "ab"] == [10, 10]
    assert run.llm.usage.input_tokens == 25


def test_a_call_that_nothing_answers_is_counted_without_tokens(run_under):
    run = run_under()
    with run.inside(), suppress(Exception):
        HTTP.post(URL, json={"model": "gpt-5", **ASK})
    assert run.llm.usage == Spent(1, 1)
