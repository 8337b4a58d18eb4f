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


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("claude-opus-4-6", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-opus-4-20250514", True),
        ("claude-opus-4-7", False),
        ("claude-opus-4-10", False),
        ("claude-haiku-5-5", False),
        ("anthropic.claude-sonnet-5-v1:0", False),
        ("claude-fable-5-2", False),
    ],
)
def test_the_newer_models_of_the_other_provider_are_not_sent_a_temperature(model, taken):
    good = httpx.Response(200, json={"type": "message", "content": [], "stop_reason": "end_turn"})
    sent, _ = talk([good], kind=AnthropicMessages, model=model, temperature=0.2)
    assert ("temperature" in sent[0]) is taken


@pytest.mark.parametrize(("model", "name"), [("gpt-5.4", "max_completion_tokens"), ("gpt-4o", "max_tokens")])
def test_the_limit_has_the_name_that_the_model_knows(model, name):
    sent, _ = talk([httpx.Response(200, json=GOOD)], model=model, max_tokens=9)
    assert {key: value for key, value in sent[0].items() if key.startswith("max")} == {name: 9}


def test_a_chat_variant_of_a_reasoning_family_takes_a_temperature():
    sent, _ = talk([httpx.Response(200, json=GOOD)], model="gpt-5-chat-latest", temperature=0.2)
    assert sent[0]["temperature"] == 0.2


def test_a_limit_that_is_refused_under_both_names_is_not_sent():
    replies = [refuses("max_tokens"), refuses("max_completion_tokens"), httpx.Response(200, json=GOOD)]
    sent, errors = talk(replies, model="new", max_tokens=9, times=3)
    assert [e.code for e in errors] == ["unsupported_parameter"] * 2
    assert not [key for key in sent[2] if key.startswith("max")]


@pytest.mark.parametrize(
    ("message", "learned"),
    [
        ("`temperature` is deprecated for this model.", True),
        ("temperature: Extra inputs are not permitted", True),
        ("temperature: range: 0..1", False),
        ("messages.0: unknown role", False),
        ("my_temperature_2 is unknown", False),
    ],
)
def test_a_refusal_in_words_alone_teaches_as_well(message, learned):
    error = {"type": "invalid_request_error", "message": message}
    refusal = httpx.Response(400, json={"type": "error", "error": error})
    _, errors = talk([refusal], kind=AnthropicMessages, model="claude-sonnet-4-6", temperature=0.2)
    assert errors[0].code == ("unsupported_parameter" if learned else "bad_request")
    assert errors[0].transient is learned


def test_what_is_learned_holds_for_calls_that_were_already_under_way():
    async def main():
        both_sent = asyncio.Barrier(2)

        async def answer(request):
            if "temperature" in json.loads(request.content):
                await both_sent.wait()
                return refuses("temperature")
            return httpx.Response(200, json=GOOD)

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            model = OpenAIChat(client, model="new", stream=False, temperature=0.2)
            found = await asyncio.gather(*(model.complete(REQUEST) for _ in "ab"), return_exceptions=True)
            return found, await model.complete(REQUEST)

    found, turn = asyncio.run(main())
    assert [(e.code, e.transient, e.fields["status"]) for e in found] == [("unsupported_parameter", True, 400)] * 2
    assert turn.text == "yes"


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_an_answer_of_a_schema_is_asked_for_the_providers_way_or_in_words(openai):
    asked = openai.request(answer=SCHEMA)
    openai.says("{}", asked)
    body = json.loads(openai.sent[0])
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}

    sent, replies = [], [refuses("response_format"), httpx.Response(200, json=GOOD)]

    def answer(request):
        sent.append(json.loads(request.content))
        return replies[len(sent) - 1]

    async def main():
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            model = OpenAIChat(client, model="new", stream=False)
            with pytest.raises(ModelError, match="response_format"):
                await model.complete(asked)
            await model.complete(asked)

    asyncio.run(main())
    assert "response_format" not in sent[1]
    assert '"required":["n"]' in sent[1]["messages"][0]["content"]


def test_a_model_says_what_it_was_made_with_and_no_secret(provider):
    model = provider.client(
        httpx.AsyncClient(),
        model="gpt-5",
        base_url="https://user:hidden@h.test?key=hidden",
        api_key="hidden",
        max_tokens=9,
    )
    described = model.describe()
    assert described["name"] == model.name == f"{provider.client.provider}/gpt-5"
    assert described["max_tokens"] == 9
    assert "temperature" in described["refused"]
    assert "hidden" not in json.dumps(described)
