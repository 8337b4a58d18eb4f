"""Every error that OpenAI documents, on both of its wires: the exception of the SDK, its code, and the headers."""

import asyncio
import typing

import httpx2
import openai
import pytest

from pytest_agent.llm.openai_chat import OpenAIChat
from pytest_agent.llm.openai_responses import OpenAIResponses
from pytest_agent.llm.openai_wire import duration
from pytest_agent.llm.reply import ErrorKind, RetryAfter

USER = [{"role": "user", "content": "hello"}]

KINDS = {
    "authentication": (openai.AuthenticationError, 401, "invalid_api_key"),
    "bad_request": (openai.BadRequestError, 400, None),
    "content_filter": (openai.BadRequestError, 400, "content_filter"),
    "context_length_exceeded": (openai.BadRequestError, 400, "context_length_exceeded"),
    "insufficient_quota": (openai.RateLimitError, 429, "insufficient_quota"),
    "model_not_found": (openai.NotFoundError, 404, "model_not_found"),
    "not_found": (openai.NotFoundError, 404, "unknown_url"),
    "overloaded": (openai.InternalServerError, 503, "server_is_overloaded"),
    "permission_denied": (openai.PermissionDeniedError, 403, "unsupported_country_region_territory"),
    "rate_limit": (openai.RateLimitError, 429, "rate_limit_exceeded"),
    "request_too_large": (openai.APIStatusError, 413, None),
    "server_error": (openai.InternalServerError, 500, None),
    "service_unavailable": (openai.InternalServerError, 503, None),
    "spend_limit": (openai.RateLimitError, 429, "billing_hard_limit_reached"),
    "timeout": (openai.APIStatusError, 408, None),
}
CODECS = {"chat": OpenAIChat(), "responses": OpenAIResponses()}


@pytest.fixture
def asks():
    """Ask on one wire with the real SDK, and be answered with an error of it."""

    def ask(wire, kind, **pause):
        def answer(_):
            reply = CODECS[wire].error(kind, None, **pause)
            return httpx2.Response(reply.status, headers=reply.headers, content=reply.chunks[0].data)

        http = httpx2.Client(transport=httpx2.MockTransport(answer))
        client = openai.OpenAI(api_key="test", max_retries=0, http_client=http)
        way = client.chat.completions.create if wire == "chat" else client.responses.create
        asked = {"messages": USER} if wire == "chat" else {"input": "hello"}
        with http, pytest.raises(openai.APIStatusError) as caught:
            way(model="gpt-5", **asked)
        return caught.value

    return ask


def test_every_kind_is_here():
    assert set(KINDS) == set(typing.get_args(ErrorKind))


@pytest.mark.parametrize("wire", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_error_is_the_exception_that_the_sdk_has_for_it(asks, wire, kind):
    type_, status, code = KINDS[kind]
    error = asks(wire, kind)
    assert isinstance(error, type_)
    assert (error.status_code, error.code) == (status, code)
    assert error.body["message"]
    assert {"message", "type", "param", "code"} <= set(error.body)
    assert error.request_id.startswith("req_")


def test_the_content_filter_says_what_it_has_found(asks):
    body = asks("chat", "content_filter").body
    assert body["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert body["innererror"]["content_filter_result"]["violence"] == {"filtered": True, "severity": "medium"}
    assert (body["param"], body["status"], body["type"]) == ("prompt", 400, None)


def test_too_long_a_history_is_named_as_each_wire_names_it(asks):
    assert [asks(wire, "context_length_exceeded").param for wire in ("chat", "responses")] == ["messages", "input"]


def test_a_rate_limit_says_when_it_is_over(asks):
    headers = asks("chat", "rate_limit", retry_after=RetryAfter(360)).response.headers
    assert headers["retry-after"] == "360"
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == ("0", "6m0s")
    assert "x-ratelimit-remaining-requests" not in asks("chat", "insufficient_quota").response.headers


@pytest.mark.parametrize(("form", "name"), [("ms", "retry-after-ms"), ("date", "retry-after")])
def test_the_other_forms_of_a_pause(asks, form, name):
    error = asks("responses", "rate_limit", retry_after=RetryAfter(3, form))
    assert error.response.headers[name] == "3000" if form == "ms" else error.response.headers[name].endswith(" GMT")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0ms"), (0.02, "20ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (360, "6m0s"), (3725, "1h2m5s")],
)
def test_a_duration(seconds, said):
    assert duration(seconds) == said


def test_the_model_that_was_asked_is_named(run_under):
    run = run_under("model-retired@llm")
    run.llm.says("Hi.")
    with run.inside(), pytest.raises(openai.NotFoundError, match="The model `gpt-9` does not exist"):
        openai.OpenAI(api_key="test").responses.create(model="gpt-9", input="hello")


def test_an_error_of_a_fault_is_the_same_to_an_async_client(run_under):
    run = run_under("rate-limit@llm")
    run.llm.says("Hi.")

    async def ask():
        return await openai.AsyncOpenAI(api_key="test", max_retries=0).responses.create(model="gpt-5", input="hello")

    with run.inside(), pytest.raises(openai.RateLimitError) as caught:
        asyncio.run(ask())
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
