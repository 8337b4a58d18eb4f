"""Real clients on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from pytest_agent.clock import Clock

Real = Callable[[], float]

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}


class Overloaded:
    """Answers 429 with `retry-after: 60` so many times, then well."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.asked_at: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked_at.append(asyncio.get_running_loop().time())
        if len(self.asked_at) <= self.refusals:
            return httpx2.Response(429, headers={"retry-after": "60"}, json={"error": {"message": "slow down"}})
        return httpx2.Response(200, json=ANSWER)


async def ask(provider: Overloaded, timeout_s: float) -> str | None:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(provider))
    async with openai.AsyncOpenAI(api_key="k", base_url="http://model.test/v1", http_client=http) as client:
        async with asyncio.timeout(timeout_s):
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    return answer.choices[0].message.content


def test_openai_backs_off_for_two_minutes_in_no_time(installed: Clock, really_took: Real) -> None:
    provider = Overloaded(refusals=2)
    assert asyncio.run(ask(provider, timeout_s=600)) == "hello"
    gaps = [later - before for before, later in zip(provider.asked_at, provider.asked_at[1:], strict=False)]
    assert gaps == pytest.approx([60, 60], abs=1)
    assert 120 <= installed.elapsed_s < 130
    assert installed.waits == []
    assert really_took() < 10


def test_openais_first_request_fires_no_false_time_out(installed: Clock) -> None:
    # When the client asks for the platform in a thread, the loop is idle with only the deadline left
    assert asyncio.run(ask(Overloaded(refusals=0), timeout_s=300)) == "hello"
    assert installed.elapsed_s < 60


def test_a_deadline_shorter_than_the_back_off_fires(installed: Clock) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(ask(Overloaded(refusals=2), timeout_s=90))
    assert 90 <= installed.elapsed_s < 95


def test_anthropic_backs_off_in_no_time(installed: Clock, really_took: Real) -> None:
    asked_at: list[float] = []

    def provider(request: httpx2.Request) -> httpx2.Response:
        asked_at.append(installed.elapsed_s)
        if len(asked_at) <= 2:
            return httpx2.Response(529, headers={"retry-after": "45"}, json={"type": "error", "error": {}})
        message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
        return httpx2.Response(200, json=message)

    http = httpx2.Client(transport=httpx2.MockTransport(provider))
    with anthropic.Anthropic(api_key="k", base_url="http://model.test", http_client=http, max_retries=2) as client:
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    assert asked_at == pytest.approx([0, 45, 90], abs=3)
    assert installed.waits == []
    assert really_took() < 10


def test_google_genai_backs_off_in_no_time(installed: Clock, really_took: Real) -> None:
    asked_at: list[float] = []

    def provider(request: httpx.Request) -> httpx.Response:
        asked_at.append(installed.elapsed_s)
        if len(asked_at) <= 2:
            return httpx.Response(503, json={"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})
        part = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}
        return httpx.Response(200, json=part)

    retries = types.HttpRetryOptions(attempts=3, initial_delay=40.0, exp_base=2.0, jitter=0.5, max_delay=100.0)
    options = types.HttpOptions(
        base_url="http://model.test",
        retry_options=retries,
        httpx_client=httpx.Client(transport=httpx.MockTransport(provider)),
    )
    with genai.Client(api_key="k", http_options=options) as client:
        answer = client.models.generate_content(model="m", contents="hi")
    assert answer.text == "hello"
    assert asked_at == pytest.approx([0, 40, 120], abs=3)
    assert installed.waits == []
    assert really_took() < 20
