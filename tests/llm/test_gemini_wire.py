"""Gemini on the wire: bytes, paths, every error, the routes that need no script."""

import asyncio
import json

import httpx
import httpx2
import pytest
from google import genai
from google.genai import errors, types

from pytest_agent import ToolCall, Turn, Usage, call
from pytest_agent.faults.effects.provider_error import ProviderError
from pytest_agent.faults.seams import Armed
from pytest_agent.llm.gemini import Gemini
from pytest_agent.llm.gemini_services import MODELS, GeminiModels, GeminiTokens
from pytest_agent.llm.protocols import codec_for, service_for
from pytest_agent.llm.reply import RetryAfter
from pytest_agent.llm.request import WireRequest
from pytest_agent.trace import ModelReplied, ModelRequested

MODEL = "gemini-3-pro"
BASE = f"https://llm.example/v1beta/models/{MODEL}"
HELLO = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
SPEAK = types.HttpOptions(async_client_args={"transport": httpx2.AsyncHTTPTransport()})
CLIENT = genai.Client(api_key="test", http_options=SPEAK)


def post(run, method, body=HELLO, base=BASE):
    with run.inside():
        return httpx.post(f"{base}:{method}", json=body)


TURN = Turn("Hi you.", calls=(call("f", x=1),), reasoning="hm", usage=Usage(3, 2))
TAIL = ',"modelVersion":"gemini-3-pro","responseId":"resp_1"}'
USAGE = ',"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5}'
SIGNED = '"thoughtSignature":"'


def pieces(signature):
    """The objects of a stream of TURN, as they are written."""
    parts = [
        '{"text":"hm","thought":true}',
        '{"text":"Hi "}',
        '{"text":"you."}',
        f'{{"functionCall":{{"name":"f","args":{{"x":1}},"id":"call_1_0"}},{SIGNED}{signature}"}}',
    ]
    said = [f'{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}},"index":0}}]{TAIL}' for part in parts]
    last = '{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]'
    return [*said, last + USAGE + TAIL]


def signature(text):
    return text.partition(SIGNED)[2].partition('"')[0]


def test_the_bytes_of_a_stream_of_events(run_under):
    run = run_under()
    run.llm.says(TURN)
    reply = post(run, "streamGenerateContent?alt=sse")
    assert reply.headers["content-type"] == "text/event-stream"
    want = "".join(f"data: {each}\r\n\r\n" for each in pieces(signature(reply.text)))
    assert reply.text == want


def test_the_bytes_of_a_stream_that_is_a_list(run_under):
    run = run_under()
    run.llm.says(TURN)
    reply = post(run, "streamGenerateContent")
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.text == "[" + ",\r\n".join(pieces(signature(reply.text))) + "]\r\n"
    assert len(reply.json()) == 5
    (said,) = run.trace.of(ModelReplied)
    assert (said.end, said.events, said.terminal_at) == ("complete", 6, 4)


def test_the_bytes_of_a_whole_reply(run_under):
    run = run_under()
    run.llm.says(TURN)
    reply = post(run, "generateContent?key=secret")
    parts = (
        '{"text":"hm","thought":true},{"text":"Hi you."},'
        f'{{"functionCall":{{"name":"f","args":{{"x":1}},"id":"call_1_0"}},{SIGNED}{signature(reply.text)}"}}'
    )
    candidate = f'{{"content":{{"parts":[{parts}],"role":"model"}},"finishReason":"STOP","index":0}}'
    assert reply.text == f'{{"candidates":[{candidate}]{USAGE}{TAIL}'


def test_what_was_malformed_is_said(run_under):
    run = run_under()
    run.llm.says(Turn(calls=(ToolCall("refund", "{"),)))
    (candidate,) = post(run, "generateContent").json()["candidates"]
    assert candidate == {
        "content": {"role": "model"},
        "finishReason": "MALFORMED_FUNCTION_CALL",
        "finishMessage": "Malformed function call: refund({)",
        "index": 0,
    }


def test_a_call_whose_id_is_blank_has_none(run_under):
    run = run_under()
    run.llm.says(ToolCall("f", "{}", id=""))
    (candidate,) = post(run, "generateContent").json()["candidates"]
    assert candidate["content"]["parts"] == [{"functionCall": {"name": "f", "args": {}}}]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent",
        "/v1beta/tunedModels/m:generateContent",
        "/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent",
        "/v1/projects/p/locations/l/endpoints/7:streamGenerateContent",
        "/proxy/v1beta/models/m:generateContent/",
    ],
)
def test_which_paths(path):
    assert codec_for("POST", path).name == "Gemini"
    assert codec_for("GET", path) is None
    assert codec_for("POST", path.replace("Content", "Contents")) is None


def test_the_model_of_the_path_is_part_of_the_question(run_under):
    """To ask another model the same thing is no second attempt."""
    run = run_under("server-error-storm@llm")
    run.llm.says("Hi.")
    post(run, "generateContent")
    post(run, "generateContent", base=BASE.replace(MODEL, "other"))
    assert [event.model for event in run.trace.of(ModelRequested)] == [MODEL, "other"]
    assert [event.site for event in run.trace.of(ModelRequested)] == ["llm#1", "llm#2"]


def test_the_same_question_after_an_error_is_a_second_attempt(run_under):
    run = run_under("rate-limit@llm")
    run.llm.says("Hi.")
    with run.inside():
        retry = types.HttpOptions(retry_options=types.HttpRetryOptions(attempts=2))
        assert (
            genai.Client(api_key="test", http_options=retry).models.generate_content(model=MODEL, contents="hello").text
            == "Hi."
        )
    assert [event.site for event in run.trace.of(ModelRequested)] == ["llm#1", "llm#1/2"]


ERRORS = [
    ("authentication", 400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    ("bad_request", 400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    ("context_length_exceeded", 400, "INVALID_ARGUMENT", "exceeds the maximum number of tokens allowed"),
    ("insufficient_quota", 429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"),
    ("model_not_found", 404, "NOT_FOUND", "models/gemini-3-pro is not found for API version v1beta"),
    ("not_found", 404, "NOT_FOUND", "Requested entity was not found."),
    ("overloaded", 503, "UNAVAILABLE", "The model is overloaded."),
    ("permission_denied", 403, "PERMISSION_DENIED", "The caller does not have permission"),
    ("rate_limit", 429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    ("request_too_large", 400, "INVALID_ARGUMENT", "Request payload size exceeds the limit"),
    ("server_error", 500, "INTERNAL", "An internal error has occurred."),
    ("service_unavailable", 503, "UNAVAILABLE", "The service is currently unavailable."),
    ("spend_limit", 429, "RESOURCE_EXHAUSTED", "monthly spending cap"),
    ("timeout", 504, "DEADLINE_EXCEEDED", "Deadline expired"),
]
V1BETA = genai.Client(api_key="test", http_options=SPEAK.model_copy(update={"api_version": "v1beta"}))


def whole(contents):
    return V1BETA.models.generate_content(model=MODEL, contents=contents)


def stream(contents):
    return list(V1BETA.models.generate_content_stream(model=MODEL, contents=contents))


def async_whole(contents):
    return asyncio.run(V1BETA.aio.models.generate_content(model=MODEL, contents=contents))


def armed(run_under, kind):
    run = run_under("insufficient-quota@llm")
    run.seams.armed = (Armed(run.seams.armed[0].fault, ProviderError(kind=kind, retry_after_s=3)),)
    run.llm.says("Hi.")
    return run


@pytest.mark.parametrize("ask", [whole, stream, async_whole])
@pytest.mark.parametrize(("kind", "code", "status", "said"), ERRORS, ids=[case[0] for case in ERRORS])
def test_every_error_is_the_sdk_exception(run_under, ask, kind, code, status, said):
    run = armed(run_under, kind)
    with run.inside(), pytest.raises(errors.APIError) as caught:
        ask("hello")
    assert type(caught.value) is (errors.ServerError if code >= 500 else errors.ClientError)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert said in caught.value.message
    details = caught.value.details["error"]["details"]
    assert details[-1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}
    assert "retry-after" not in caught.value.response.headers


@pytest.mark.parametrize("ask", [whole, async_whole])
def test_a_filtered_prompt_is_no_error(run_under, ask):
    run = armed(run_under, "content_filter")
    with run.inside():
        reply = ask("hello")
    assert (reply.candidates, reply.prompt_feedback.block_reason) == (None, "PROHIBITED_CONTENT")
    assert next(run.trace.of(ModelReplied)).error_code == "content_filter"


def test_the_reason_of_a_wrong_key():
    body = json.loads(Gemini().error("authentication", None).chunks[0].data)
    assert body["error"]["details"][0]["reason"] == "API_KEY_INVALID"


@pytest.mark.parametrize(("pause_s", "said"), [(3, "3s"), (0.5, "0.5s")])
def test_a_pause_stands_in_the_body(pause_s, said):
    reply = Gemini().error("rate_limit", None, retry_after=RetryAfter(pause_s, "ms"))
    assert json.loads(reply.chunks[0].data)["error"]["details"][-1]["retryDelay"] == said


def test_an_error_in_place_of_a_list_is_a_list(run_under):
    run = armed(run_under, "overloaded")
    assert post(run, "streamGenerateContent").json()[0]["error"]["code"] == 503


def test_an_error_in_a_stream_is_raised(run_under):
    run = run_under("overloaded-mid-stream(after=1)@llm")
    run.llm.says("one two")
    got = []
    with run.inside(), pytest.raises(errors.ServerError) as caught:
        got.extend(chunk.text for chunk in V1BETA.models.generate_content_stream(model=MODEL, contents="hello"))
    assert caught.value.code == 503


def client_of(service):
    def handler(request):
        wire = WireRequest(request.method, request.url.path, request.headers, request.content)
        assert service_for(wire.method, wire.path).name == service.name
        reply = service.answer(wire)
        return httpx2.Response(reply.status, headers=list(reply.headers), content=reply.chunks[0].data)

    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    options = types.HttpOptions(httpx_client=http, api_version="v1beta")
    return genai.Client(api_key="test", http_options=options)


def test_tokens_are_counted_as_they_are_billed(run_under):
    run = run_under()
    run.llm.says("Hi.")
    counted = client_of(GeminiTokens()).models.count_tokens(model=MODEL, contents="hello")
    with run.inside():
        assert whole("hello").usage_metadata.prompt_token_count == counted.total_tokens > 0
    inner = {"generateContentRequest": {"model": f"models/{MODEL}", **HELLO}}
    reply = GeminiTokens().answer(
        WireRequest("POST", f"/v1beta/models/{MODEL}:countTokens", {}, json.dumps(inner).encode())
    )
    assert json.loads(reply.chunks[0].data)["totalTokens"] == counted.total_tokens


@pytest.mark.parametrize("body", [b"{", b'{"contents": []}', b'{"generateContentRequest": {"stream": true}}'])
def test_what_could_not_be_sent_is_not_counted(body):
    reply = GeminiTokens().answer(WireRequest("POST", f"/v1beta/models/{MODEL}:countTokens", {}, body))
    assert (reply.status, reply.error_code) == (400, "INVALID_ARGUMENT")


def test_the_models():
    client = client_of(GeminiModels())
    assert [model.name for model in client.models.list()] == [f"models/{name}" for name in MODELS]
    one = client.models.get(model="gemini-9")
    assert (one.name, one.input_token_limit) == ("models/gemini-9", 1_048_576)
    assert "generateContent" in one.supported_actions
    assert service_for("GET", "/v1/models") is None or service_for("GET", "/v1/models").name != "Gemini models"
