"""Agents on langgraph: the prebuilt one, and langchain's `create_agent`, over three wires."""

import asyncio
from types import SimpleNamespace

import httpx2
import openai
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

ASK = {"messages": [("user", "How is the weather in Oslo and Lima?")]}


@tool
def weather(city: str) -> str:
    """How the weather is."""
    return f"{city}: sunny"


class Client:
    """`streamed` shows the tokens as they come, `messages`, and the state after each step, `values`."""

    least_wait_s = 2

    def __init__(self, name, broken, model, make=create_agent, *, asynchronous=False):
        self.name = f"{name}{'-async' * asynchronous}"
        self.broken, self.model, self.make, self.asynchronous = broken, model, make, asynchronous

    def ask(self, place, streamed):
        agent = self.make(self.model(place), tools=[weather])
        if self.asynchronous:
            tokens, messages = asyncio.run(run_async(agent, streamed))
        elif not streamed:
            tokens, messages = None, agent.invoke(ASK)["messages"]
        else:
            tokens, messages = gather(agent.stream(ASK, stream_mode=["messages", "values"]))
        last = messages[-1]
        if streamed:
            assert tokens == "".join(message.text for message in messages if isinstance(message, AIMessage))
        usage = (last.usage_metadata["input_tokens"], last.usage_metadata["output_tokens"])
        made = [(each["name"], each["args"]) for message in messages for each in getattr(message, "tool_calls", ())]
        return SimpleNamespace(text=last.text, calls=made, usage=usage)

    loop = ask


async def run_async(agent, streamed):
    if not streamed:
        return None, (await agent.ainvoke(ASK))["messages"]
    return gather([each async for each in agent.astream(ASK, stream_mode=["messages", "values"])])


def gather(parts):
    tokens, messages = "", []
    for mode, part in parts:
        if mode == "values":
            messages = part["messages"]
        elif part[0].type == "AIMessageChunk":
            tokens += part[0].text
    return tokens, messages


def chat(place):
    return ChatOpenAI(model="gpt-5", base_url=place.openai, api_key="test", stream_usage=True, use_responses_api=False)


def responses(place):
    return ChatOpenAI(model="gpt-5", base_url=place.openai, api_key="test", use_responses_api=True)


def claude(place):
    return ChatAnthropic(model_name="claude-sonnet-5", base_url=place.anthropic, api_key="test", max_tokens=100)


CLIENTS = [
    Client("react-openai-chat", openai.APIConnectionError, chat, create_react_agent),
    *(
        Client(name, broken, model, asynchronous=asynchronous)
        for name, broken, model in (
            ("openai-chat", openai.APIConnectionError, chat),
            ("openai-responses", openai.APIConnectionError, responses),
            ("anthropic", httpx2.RemoteProtocolError, claude),
        )
        for asynchronous in (False, True)
    ),
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
