"""litellm, which speaks for three providers by clients of its own."""

import asyncio
import json
from types import SimpleNamespace

import litellm
import pytest

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
ASK = [{"role": "user", "content": "How is the weather in Oslo and Lima?"}]


class Client:
    least_wait_s = 0
    broken = litellm.exceptions.MidStreamFallbackError

    def __init__(self, model, *, asynchronous):
        self.model, self.asynchronous = model, asynchronous
        self.provider = model.partition("/")[0]
        self.name = f"{self.provider}{'-async' * asynchronous}"
        # Gemini's stream is asked for when it is first read, and that is too late for its retries.
        self.not_retried = self.broken if self.provider == "gemini" else None

    def ask(self, place, streamed):
        return seen(self._run(self._turn, place, ASK, streamed))

    def loop(self, place, streamed):
        async def both():
            first = await self._turn(place, ASK, streamed)
            made = first.choices[0].message.tool_calls
            results = [
                {"role": "tool", "tool_call_id": each.id, "content": f"{arguments(each)['city']}: sunny"}
                for each in made
            ]
            history = [*ASK, first.choices[0].message.model_dump(exclude_none=True), *results]
            return made, await self._turn(place, history, streamed)

        made, reply = self._run(both)
        return seen(reply, calls=[(each.function.name, arguments(each)) for each in made])

    def _run(self, begin, *args):
        """Without a loop for the sync client: its coroutine never waits."""
        if self.asynchronous:
            return asyncio.run(closing(begin(*args)))
        with pytest.raises(StopIteration) as ended:
            begin(*args).send(None)
        return ended.value.value

    async def _turn(self, place, messages, streamed):
        base = {"openai": place.openai, "anthropic": place.anthropic, "gemini": f"{place.gemini}/v1beta"}
        options = {
            "model": self.model,
            "messages": messages,
            "tools": TOOLS,
            "api_key": "test",
            "api_base": base[self.provider],
            "num_retries": 2,
            "stream": streamed,
        }
        if streamed:
            options["stream_options"] = {"include_usage": True}
        reply = await litellm.acompletion(**options) if self.asynchronous else litellm.completion(**options)
        if not streamed:
            return reply
        pieces = [piece async for piece in reply] if self.asynchronous else list(reply)
        return litellm.stream_chunk_builder(pieces, messages=messages)


async def closing(running):
    """The clients that it keeps belong to this loop."""
    try:
        return await running
    finally:
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()


def arguments(made):
    return json.loads(made.function.arguments)


def seen(reply, **more):
    usage = (reply.usage.prompt_tokens, reply.usage.completion_tokens)
    return SimpleNamespace(text=reply.choices[0].message.content, usage=usage, **more)


MODELS = ("openai/gpt-5", "anthropic/claude-sonnet-5", "gemini/gemini-3-pro")
CLIENTS = [Client(model, asynchronous=asynchronous) for model in MODELS for asynchronous in (False, True)]


def test_text(check, client, streamed, socket):
    check.text(client, streamed=streamed)


def test_parallel_tool_calls(check, client, streamed, socket):
    check.tools(client, streamed=streamed)


def test_calls_after_words_and_reasoning(check, client, streamed, socket):
    check.tools(client, streamed=streamed, before={"text": "I look.", "reasoning": "Two cities: two calls."})


def test_a_429_is_asked_again(check, client, streamed):
    check.retry(client, streamed=streamed)


def test_a_stream_that_breaks(check, client, socket):
    check.cut(client)
