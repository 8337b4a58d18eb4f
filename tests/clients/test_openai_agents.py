"""The agents SDK of OpenAI: `Runner.run` and `run_streamed`, with the models of both its APIs."""

import asyncio
import json
from types import SimpleNamespace

import openai
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool

ASK = "How is the weather in Oslo and Lima?"


@function_tool
def weather(city: str) -> str:
    """How the weather is."""
    return f"{city}: sunny"


class Client:
    broken = openai.APIConnectionError
    least_wait_s = 2

    def __init__(self, name, model):
        self.name, self.model = name, model

    def ask(self, place, streamed):
        return asyncio.run(self._run(place, streamed))

    loop = ask

    async def _run(self, place, streamed):
        async with openai.AsyncOpenAI(base_url=place.openai, api_key="test") as client:
            # Away from OpenAI's own host it does not ask for the usage of a stream, unless told to.
            settings = ModelSettings(include_usage=True)
            agent = Agent("weatherman", tools=[weather], model=self.model("gpt-5", client), model_settings=settings)
            if streamed:
                result = Runner.run_streamed(agent, ASK)
                async for _ in result.stream_events():
                    pass
            else:
                result = await Runner.run(agent, ASK)
        made = [item.raw_item for item in result.new_items if item.type == "tool_call_item"]
        last = result.raw_responses[-1].usage
        return SimpleNamespace(
            text=result.final_output,
            calls=[(each.name, json.loads(each.arguments)) for each in made],
            usage=(last.input_tokens, last.output_tokens),
        )


CLIENTS = [Client("chat", OpenAIChatCompletionsModel), Client("responses", OpenAIResponsesModel)]


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
