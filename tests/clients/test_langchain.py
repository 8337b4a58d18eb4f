"""langchain's chat models for OpenAI (chat completions and responses) and Anthropic."""

import asyncio
import functools
import operator
from types import SimpleNamespace

import httpx2
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

ASK = [HumanMessage("How is the weather in Oslo and Lima?")]


@tool
def weather(city: str) -> str:
    """How the weather is."""
    return f"{city}: sunny"


class Client:
    least_wait_s = 2

    def __init__(self, name, broken, model, *, asynchronous):
        self.name = f"{name}{'-async' * asynchronous}"
        self.broken, self.model, self.asynchronous = broken, model, asynchronous

    def _turns(self, place, streamed, *histories):
        """The reply to each history; a later one is a function of the replies before it."""
        model = self.model(place).bind_tools([weather])
        if self.asynchronous:
            return asyncio.run(self._turns_async(model, streamed, histories))
        replies = []
        for history in histories:
            messages = history(*replies)
            pieces = model.stream(messages) if streamed else [model.invoke(messages)]
            replies.append(functools.reduce(operator.add, pieces))
        return replies

    async def _turns_async(self, model, streamed, histories):
        replies = []
        for history in histories:
            messages = history(*replies)
            pieces = [p async for p in model.astream(messages)] if streamed else [await model.ainvoke(messages)]
            replies.append(functools.reduce(operator.add, pieces))
        return replies

    def ask(self, place, streamed):
        (reply,) = self._turns(place, streamed, lambda: ASK)
        return seen(reply)

    def loop(self, place, streamed):
        first, reply = self._turns(place, streamed, lambda: ASK, answered)
        return seen(reply, calls=[(made["name"], made["args"]) for made in first.tool_calls])


def answered(first):
    results = [weather.invoke(made) for made in first.tool_calls]
    assert all(isinstance(result, ToolMessage) for result in results)
    return [*ASK, first, *results]


def seen(reply, **more):
    usage = reply.usage_metadata
    return SimpleNamespace(text=reply.text, usage=(usage["input_tokens"], usage["output_tokens"]), **more)


def chat(place):
    return ChatOpenAI(model="gpt-5", base_url=place.openai, api_key="test", stream_usage=True, use_responses_api=False)


def responses(place):
    return ChatOpenAI(model="gpt-5", base_url=place.openai, api_key="test", use_responses_api=True)


def claude(place):
    return ChatAnthropic(model_name="claude-sonnet-5", base_url=place.anthropic, api_key="test", max_tokens=100)


CLIENTS = [
    Client(name, broken, model, asynchronous=asynchronous)
    for name, broken, model in (
        ("openai-chat", openai.APIConnectionError, chat),
        ("openai-responses", openai.APIConnectionError, responses),
        ("anthropic", httpx2.RemoteProtocolError, claude),
    )
    for asynchronous in (False, True)
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


def test_embeddings(check, socket):
    with check.place() as place:
        model = OpenAIEmbeddings(base_url=place.openai, api_key="test", check_embedding_ctx_length=False)
        first, second, third = model.embed_documents(["Oslo", "Lima", "Oslo"])
    assert first == third != second
