"""Structured output: each library makes its own object of it, in the way it asks for it by itself."""

import asyncio

import anthropic
import litellm
import openai
import pytest
from agents import Agent as OpenAIAgent
from agents import OpenAIResponsesModel, Runner
from google import genai
from google.genai import types
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponses
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from pytest_agent import call


class Weather(BaseModel):
    """How the weather is."""

    city: str
    sunny: bool


OSLO = {"city": "Oslo", "sunny": True}
QUESTION = "How is the weather in Oslo?"
ASK = [{"role": "user", "content": QUESTION}]
SCHEMA = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Weather)


def openai_chat(place):
    with openai.OpenAI(base_url=place.openai, api_key="test") as client:
        reply = client.chat.completions.parse(model="gpt-5", messages=ASK, response_format=Weather)
    return reply.choices[0].message.parsed


def openai_responses(place):
    with openai.OpenAI(base_url=place.openai, api_key="test") as client:
        return client.responses.parse(model="gpt-5", input=ASK, text_format=Weather).output_parsed


def anthropic_messages(place):
    with anthropic.Anthropic(base_url=place.anthropic, api_key="test") as client:
        options = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": ASK}
        return client.messages.parse(output_format=Weather, **options).parsed_output


def google_genai(place):
    with genai.Client(api_key="test", http_options=types.HttpOptions(base_url=place.gemini)) as client:
        return client.models.generate_content(model="gemini-3-pro", contents=QUESTION, config=SCHEMA).parsed


def litellm_openai(place):
    reply = litellm.completion(
        "openai/gpt-5", ASK, api_base=place.openai, api_key="test", response_format=Weather, num_retries=0
    )
    return Weather.model_validate_json(reply.choices[0].message.content)


def openai_agents(place):
    async def run():
        async with openai.AsyncOpenAI(base_url=place.openai, api_key="test") as client:
            model = OpenAIResponsesModel("gpt-5", client)
            return (await Runner.run(OpenAIAgent("a", model=model, output_type=Weather), QUESTION)).final_output

    return asyncio.run(run())


def langchain_openai(place):
    model = ChatOpenAI(model="gpt-5", base_url=place.openai, api_key="test")
    return model.with_structured_output(Weather).invoke(QUESTION)


def claude(place):
    return ChatAnthropic(model_name="claude-sonnet-5", base_url=place.anthropic, api_key="test", max_tokens=100)


def langchain_anthropic_tool(place):
    return claude(place).with_structured_output(Weather).invoke(QUESTION)


def langchain_anthropic_schema(place):
    return claude(place).with_structured_output(Weather, method="json_schema").invoke(QUESTION)


@tool
def weather(city: str) -> str:
    """How the weather is."""
    return f"{city}: sunny"


def langgraph_agent(place):
    # Without a tool `create_agent` sends an empty list of them, which OpenAI refuses, and so the harness.
    model = ChatOpenAI(model="gpt-5", base_url=place.openai, api_key="test")
    agent = create_agent(model, tools=[weather], response_format=Weather)
    return agent.invoke({"messages": [("user", QUESTION)]})["structured_response"]


def pydantic_ai(model, *, native):
    def ask(place):
        output = NativeOutput(Weather) if native else Weather
        return asyncio.run(Agent(model(place), output_type=output).run(QUESTION)).output

    return ask


def pydantic_chat(place):
    return OpenAIChatModel("gpt-5", provider=OpenAIProvider(base_url=place.openai, api_key="test"))


def pydantic_responses(place):
    return PydanticResponses("gpt-5", provider=OpenAIProvider(base_url=place.openai, api_key="test"))


def pydantic_claude(place):
    return AnthropicModel("claude-sonnet-5", provider=AnthropicProvider(base_url=place.anthropic, api_key="test"))


def pydantic_gemini(place):
    return GoogleModel("gemini-3-pro", provider=GoogleProvider(base_url=place.gemini, api_key="test"))


PYDANTIC = {
    "openai-chat": pydantic_chat,
    "openai-responses": pydantic_responses,
    "anthropic": pydantic_claude,
    "google": pydantic_gemini,
}
BY_SCHEMA = {
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "anthropic": anthropic_messages,
    "google-genai": google_genai,
    "litellm": litellm_openai,
    "openai-agents": openai_agents,
    "langchain-openai": langchain_openai,
    "langchain-anthropic": langchain_anthropic_schema,
    "langgraph": langgraph_agent,
    **{f"pydantic-ai-{name}": pydantic_ai(model, native=True) for name, model in PYDANTIC.items()},
}
BY_TOOL = {
    "langchain-anthropic": ("Weather", langchain_anthropic_tool),
    **{f"pydantic-ai-{name}": ("final_result", pydantic_ai(model, native=False)) for name, model in PYDANTIC.items()},
}


@pytest.mark.parametrize("ask", BY_SCHEMA.values(), ids=BY_SCHEMA.keys())
def test_a_schema_of_the_reply(check, ask, socket):
    with check.place() as place:
        place.llm.says(OSLO)
        assert ask(place) == Weather(**OSLO)


@pytest.mark.parametrize(("tool", "ask"), BY_TOOL.values(), ids=BY_TOOL.keys())
def test_a_tool_that_is_the_reply(check, tool, ask, socket):
    with check.place() as place:
        place.llm.says(call(tool, **OSLO))
        assert ask(place) == Weather(**OSLO)
