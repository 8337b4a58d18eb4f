"""Temperature and token limits by environment, and models that refuse them."""

import asyncio
import json

import httpx
import pytest

from agentfsm import OpenAIChat
from agentfsm.errors import ModelError
from agentfsm.models.anthropic_messages import AnthropicMessages
from agentfsm.turns import Message, ModelRequest

REQUEST = ModelRequest(key="k", messages=(Message(role="user", text="hi"),))
GOOD = {"choices": [{"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}]}


def talk(replies, kind=OpenAIChat, times=1, **options):
    sent, errors = [], []

    def answer(request):
        sent.append(json.loads(request.content))
        return replies[min(len(sent), len(replies)) - 1]

    async def main():
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            model = kind(client, stream=False, **options)
            for _ in range(times):
                try:
                    await model.complete(REQUEST)
                except ModelError as error:
                    errors.append(error)

    asyncio.run(main())
    return sent, errors


def refuses(param):
    error = {"message": f"Unsupported value: '{param}'", "code": "unsupported_value", "param": param}
    return httpx.Response(400, json={"error": error})


def test_the_temperature_of_the_environment_is_sent():
    sent, _ = talk([httpx.Response(200, json=GOOD)], model="gpt-4o", temperature=0.2, max_tokens=50)
    assert (sent[0]["temperature"], sent[0]["max_tokens"]) == (0.2, 50)


def test_nothing_that_was_not_given_is_sent():
    sent, _ = talk([httpx.Response(200, json=GOOD)], model="gpt-4o")
    assert {"temperature", "max_tokens", "response_format"} & set(sent[0]) == set()


@pytest.mark.parametrize("model", ["o3-mini", "gpt-5", "gpt-6-sol", "openai/gpt-5.4-mini"])
def test_a_model_that_is_known_to_refuse_a_temperature_is_not_sent_one(model):
    sent, _ = talk([httpx.Response(200, json=GOOD)], model=model, temperature=0.2)
    assert "temperature" not in sent[0]


def test_a_parameter_that_was_refused_is_not_sent_again():
    replies = [refuses("temperature"), refuses("max_tokens"), httpx.Response(200, json=GOOD)]
    sent, errors = talk(replies, model="new", temperature=0.2, max_tokens=9, times=3)
    assert [(e.code, e.transient) for e in errors] == [("unsupported_parameter", True)] * 2
    assert "temperature" not in sent[1]
    assert (sent[2].get("max_tokens"), sent[2]["max_completion_tokens"]) == (None, 9)


def test_a_refusal_that_names_nothing_of_ours_is_for_good():
    _, errors = talk([refuses("messages")], model="new", temperature=0.2)
    assert [(e.code, e.transient) for e in errors] == [("bad_request", False)]


def test_the_api_that_demands_a_token_limit_gets_one():
    good = httpx.Response(200, json={"type": "message", "content": [], "stop_reason": "end_turn"})
    sent, _ = talk([good], kind=AnthropicMessages, model="claude-opus-5", temperature=1.0)
    assert (sent[0]["max_tokens"], "temperature" in sent[0]) == (16_000, False)
    sent, _ = talk([good], kind=AnthropicMessages, model="claude-opus-5", max_tokens=10)
    assert sent[0]["max_tokens"] == 10


def test_an_answer_of_a_schema_is_asked_for_the_providers_way():
    replies = [httpx.Response(200, json=GOOD)]
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        return replies[0]

    async def main():
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await OpenAIChat(client, model="m", stream=False).complete(
                REQUEST.model_copy(update={"answer": {"type": "object"}})
            )

    asyncio.run(main())
    assert sent[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
