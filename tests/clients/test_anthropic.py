"""Anthropic's own client: messages, plain and as a stream of events."""

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace

import anthropic
import httpx2

TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
ASK = [{"role": "user", "content": "How is the weather in Oslo and Lima?"}]


@contextmanager
def opened(place):
    with anthropic.Anthropic(base_url=place.anthropic, api_key="test") as client:

        def turn(messages, streamed):
            options = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": messages, "tools": TOOLS}
            if not streamed:
                return client.messages.create(**options)
            with client.messages.stream(**options) as stream:
                return stream.get_final_message()

        yield turn


@contextmanager
def opened_async(place):
    with asyncio.Runner() as runner:
        client = anthropic.AsyncAnthropic(base_url=place.anthropic, api_key="test")

        async def turn(messages, streamed):
            options = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": messages, "tools": TOOLS}
            if not streamed:
                return await client.messages.create(**options)
            async with client.messages.stream(**options) as stream:
                return await stream.get_final_message()

        yield lambda *args: runner.run(turn(*args))
        runner.run(client.close())


class Client:
    broken = httpx2.RemoteProtocolError  # the client hands on what breaks inside a stream
    least_wait_s = 2

    def __init__(self, name, opened):
        self.name, self.opened = name, opened

    def ask(self, place, streamed):
        with self.opened(place) as turn:
            return seen(turn(ASK, streamed))

    def loop(self, place, streamed):
        with self.opened(place) as turn:
            first = turn(ASK, streamed)
            made = [block for block in first.content if block.type == "tool_use"]
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": f"{block.input['city']}: sunny"}
                for block in made
            ]
            asked = [block.model_dump(include={"type", "id", "name", "input"}) for block in made]
            history = [*ASK, {"role": "assistant", "content": asked}, {"role": "user", "content": results}]
            reply = turn(history, streamed)
        assert first.stop_reason == "tool_use"
        return seen(reply, calls=[(block.name, block.input) for block in made])


def seen(message, **more):
    usage = (message.usage.input_tokens, message.usage.output_tokens)
    return SimpleNamespace(text="".join(block.text for block in message.content), usage=usage, **more)


CLIENTS = [Client("messages", opened), Client("messages-async", opened_async)]


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
