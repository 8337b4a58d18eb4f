"""OpenAI's own client: chat completions, responses, embeddings."""

import asyncio
import json
from contextlib import contextmanager
from types import SimpleNamespace

import openai
import pytest

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ASK = [{"role": "user", "content": "How is the weather in Oslo and Lima?"}]


@contextmanager
def opened(place):
    with openai.OpenAI(base_url=place.openai, api_key="test") as client:
        yield client, lambda reply: reply


@contextmanager
def opened_async(place):
    """The client, and what waits for its replies. Both turns of a loop share the client's connections."""
    with asyncio.Runner() as runner:
        client = openai.AsyncOpenAI(base_url=place.openai, api_key="test")

        async def wait(made):
            if not hasattr(made, "__aenter__"):
                return await made
            async with made as stream:
                return await final(stream)

        yield client, lambda made: runner.run(wait(made))
        runner.run(client.close())


def final(stream):
    return stream.get_final_completion() if hasattr(stream, "get_final_completion") else stream.get_final_response()


class Client:
    broken = openai.APIConnectionError
    least_wait_s = 2

    def __init__(self, wire, name, opened):
        self.wire, self.name, self.opened = wire, name, opened

    def _turn(self, client, wait, messages, streamed):
        made = self.wire.begin(client, messages, streamed)
        if not hasattr(made, "__enter__"):
            return wait(made)
        with made as stream:
            return final(stream)

    def ask(self, place, streamed):
        with self.opened(place) as (client, wait):
            reply = self._turn(client, wait, ASK, streamed)
        return SimpleNamespace(text=self.wire.text(reply), usage=self.wire.usage(reply.usage))

    def loop(self, place, streamed):
        with self.opened(place) as (client, wait):
            first = self._turn(client, wait, ASK, streamed)
            reply = self._turn(client, wait, [*ASK, *self.wire.answered(first)], streamed)
        usage = self.wire.usage(reply.usage)
        return SimpleNamespace(text=self.wire.text(reply), calls=self.wire.calls(first), usage=usage)


class Chat:
    tools = ({"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},)

    def begin(self, client, messages, streamed):
        options = {"model": "gpt-5", "messages": messages, "tools": self.tools}
        if not streamed:
            return client.chat.completions.create(**options)
        return client.chat.completions.stream(**options, stream_options={"include_usage": True})

    def text(self, reply):
        return reply.choices[0].message.content

    def usage(self, usage):
        return usage.prompt_tokens, usage.completion_tokens

    def calls(self, reply):
        made = reply.choices[0].message.tool_calls
        return [(each.function.name, json.loads(each.function.arguments)) for each in made]

    def answered(self, reply):
        message = reply.choices[0].message
        fields = {"id": True, "type": True, "function": {"name", "arguments"}}
        asked = [each.model_dump(include=fields) for each in message.tool_calls]
        yield {"role": "assistant", "content": message.content, "tool_calls": asked}
        for each, (_, arguments) in zip(message.tool_calls, self.calls(reply), strict=True):
            yield {"role": "tool", "tool_call_id": each.id, "content": f"{arguments['city']}: sunny"}


class Responses:
    tools = ({"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True},)

    def begin(self, client, messages, streamed):
        options = {"model": "gpt-5", "input": messages, "tools": self.tools}
        return client.responses.stream(**options) if streamed else client.responses.create(**options)

    def text(self, reply):
        return reply.output_text

    def usage(self, usage):
        return usage.input_tokens, usage.output_tokens

    def calls(self, reply):
        return [(item.name, json.loads(item.arguments)) for item in reply.output if item.type == "function_call"]

    def answered(self, reply):
        yield from reply.output
        made = [item for item in reply.output if item.type == "function_call"]
        for item, (_, arguments) in zip(made, self.calls(reply), strict=True):
            yield {"type": "function_call_output", "call_id": item.call_id, "output": f"{arguments['city']}: sunny"}


CLIENTS = [
    Client(Chat(), "chat", opened),
    Client(Chat(), "chat-async", opened_async),
    Client(Responses(), "responses", opened),
    Client(Responses(), "responses-async", opened_async),
]


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


@pytest.mark.parametrize("open_", [opened, opened_async], ids=["sync", "async"])
def test_embeddings(check, open_, socket):
    words = ["Oslo", "Lima", "Oslo"]
    with check.place() as place, open_(place) as (client, wait):
        reply = wait(client.embeddings.create(model="text-embedding-3-small", input=words))
    first, second, third = (item.embedding for item in reply.data)
    assert first == third != second
    assert len(first) == 1536
