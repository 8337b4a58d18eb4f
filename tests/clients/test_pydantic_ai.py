"""Agents of pydantic-ai over four wires: `run`, `run_sync` and `run_stream`."""

import asyncio
from types import SimpleNamespace

from google.genai.types import HttpRetryOptions
from pydantic_ai import Agent, ModelAPIError
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

ASK = "How is the weather in Oslo and Lima?"


class Client:
    broken = ModelAPIError
    least_wait_s = 1

    def __init__(self, name, model, *, asynchronous):
        self.name = f"{name}{'-async' * asynchronous}"
        self.model, self.asynchronous = model, asynchronous
        self.always_streams = model is claude  # also where the agent is not asked to

    def ask(self, place, streamed):
        agent = Agent(self.model(place))

        @agent.tool_plain
        def weather(city: str) -> str:
            """How the weather is."""
            return f"{city}: sunny"

        if self.asynchronous:
            return asyncio.run(self._run(agent, streamed))
        if streamed:
            result = agent.run_stream_sync(ASK)
            return seen(result, "".join(result.stream_text(delta=True)))
        result = agent.run_sync(ASK)
        return seen(result, result.output)

    loop = ask

    async def _run(self, agent, streamed):
        if not streamed:
            result = await agent.run(ASK)
            return seen(result, result.output)
        async with agent.run_stream(ASK) as result:
            return seen(result, "".join([piece async for piece in result.stream_text(delta=True)]))


def seen(result, text):
    parts = [part for message in result.all_messages() for part in message.parts]
    last = result.all_messages()[-1].usage
    return SimpleNamespace(
        text=text,
        calls=[(part.tool_name, part.args_as_dict()) for part in parts if isinstance(part, ToolCallPart)],
        usage=(last.input_tokens, last.output_tokens),
    )


def chat(place):
    return OpenAIChatModel("gpt-5", provider=OpenAIProvider(base_url=place.openai, api_key="test"))


def responses(place):
    return OpenAIResponsesModel("gpt-5", provider=OpenAIProvider(base_url=place.openai, api_key="test"))


def claude(place):
    return AnthropicModel("claude-sonnet-5", provider=AnthropicProvider(base_url=place.anthropic, api_key="test"))


def gemini(place):
    retries = HttpRetryOptions(attempts=3, http_status_codes=[429])
    provider = GoogleProvider(base_url=place.gemini, api_key="test", retry_options=retries)
    return GoogleModel("gemini-3-pro", provider=provider)


CLIENTS = [
    Client(name, model, asynchronous=asynchronous)
    for name, model in (
        ("openai-chat", chat),
        ("openai-responses", responses),
        ("anthropic", claude),
        ("google", gemini),
    )
    for asynchronous in (False, True)
]


def test_text(check, client, streamed, socket):
    check.text(client, streamed=streamed)


def test_parallel_tool_calls(check, client, streamed, socket):
    check.tools(client, streamed=streamed)


def test_calls_after_words_and_reasoning(check, client, streamed, socket):
    words = {} if streamed else {"text": "I look."}  # to `run_stream` the first text is the answer
    check.tools(client, streamed=streamed, before={"reasoning": "Two cities: two calls.", **words})


def test_a_429_is_asked_again(check, client, streamed):
    check.retry(client, streamed=streamed)


def test_a_stream_that_breaks(check, client, socket):
    check.cut(client)
