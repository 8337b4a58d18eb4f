"""What goes over websockets is not met in process: the guard names it, and says where it can be pointed."""

import asyncio

import openai
import pytest
from google import genai

from pytest_agent.errors import UnansweredCall


async def openai_realtime():
    async with openai.AsyncOpenAI(api_key="test") as client, client.realtime.connect(model="gpt-realtime"):
        pass


async def openai_responses():
    async with openai.AsyncOpenAI(api_key="test") as client, client.responses.connect():
        pass


async def gemini_live():
    async with genai.Client(api_key="test").aio.live.connect(model="gemini-3-live"):
        pass


@pytest.mark.parametrize("connect", [openai_realtime, openai_responses, gemini_live])
def test_a_websocket_is_refused_by_name(run_under, connect):
    run = run_under()
    with run.inside(), pytest.raises(Exception) as seen:  # noqa: PT011 - each has its own class
        asyncio.run(connect())
    with pytest.raises(UnansweredCall, match="websockets is not intercepted in process: for a model point it to"):
        run.check(None)
    assert "nothing in this test answers it" in repr(seen.value)
