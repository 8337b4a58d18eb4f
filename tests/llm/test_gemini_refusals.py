"""What Gemini refuses: each bad request with the provider's own words, and its correct twin."""

import json

import httpx
import pytest
from google import genai
from google.genai import errors, types

from pytest_agent.llm.gemini import Gemini
from pytest_agent.llm.request import BadRequest, WireRequest
from pytest_agent.trace import ModelRequested

PATH = "/v1beta/models/m:generateContent"


def user(*parts):
    return {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def model(*parts):
    return {**user(*parts), "role": "model"}


def use(name="f", **args):
    return {"functionCall": {"name": name, "args": args}}


def answer(name="f", **response):
    return {"functionResponse": {"name": name, "response": response}}


def decode(body, path=PATH, query=""):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Gemini().decode(WireRequest("POST", path, {}, raw, query))


CALL_FIRST = "Please ensure that function call turn comes immediately after a user turn or after a function response"
COUNT = "Please ensure that the number of function response parts is equal to the number of function call parts"
RESPONSE_FIRST = "Please ensure that function response turn comes immediately after a function call turn."

HISTORIES = [
    ("nothing at all", [], "* GenerateContentRequest.contents: contents is not specified\n"),
    ("a call that comes first", [model(use()), user(answer())], CALL_FIRST),
    ("a call without its response", [user("x"), model(use()), user("y")], COUNT),
    ("one response of two", [user("x"), model(use(), use()), user(answer())], COUNT),
    ("one response too many", [user("x"), model(use()), user(answer(), answer())], COUNT),
    ("a call at the end", [user("x"), model(use())], COUNT),
    ("the user between call and response", [user("x"), model(use()), user("y"), user(answer())], COUNT),
    ("a response without a call", [user("x"), model("y"), user(answer())], RESPONSE_FIRST),
    ("a response that comes first", [user(answer())], RESPONSE_FIRST),
    ("a response in the model's mouth", [user("x"), model(use()), model(answer())], RESPONSE_FIRST),
    ("a role of another provider", [{"role": "assistant", "parts": [{"text": "x"}]}], "valid role: user, model."),
    ("no parts", [{"role": "user", "parts": []}], "contents[0].parts: contents.parts must not be empty.\n"),
    ("an empty part", [user("x"), model({})], "contents[1].parts[0].data: required oneof field 'data' must have one"),
    ("a call without a name", [user("x"), model(use("")), user(answer())], "function_call.name: Name cannot be empty."),
    ("args that are text", [user("x"), model({"functionCall": {"name": "f", "args": "{}"}})], "function_call.args'"),
    ("a content that is text", ["hello"], "Invalid value at 'contents[0]'"),
    ("a part that is text", [{"role": "user", "parts": ["hello"]}], "Invalid value at 'contents[0].parts[0]'"),
    ("a text that is a number", [user({"text": 7})], "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 7"),
    (
        "content as another provider has it",
        [{"role": "user", "content": "x"}],
        "Unknown name \"content\" at 'contents[0]'",
    ),
    ("half a pair", [user("so \ud83d far")], "No low surrogate in string"),
]


@pytest.mark.parametrize(("what", "contents", "said"), HISTORIES, ids=[case[0] for case in HISTORIES])
def test_a_history_that_cannot_be_sent(what, contents, said):
    with pytest.raises(BadRequest) as caught:
        decode({"contents": contents})
    assert said in str(caught.value)
    assert caught.value.about == "history"


GOOD = [
    ("one call", [user("x"), model(use()), user(answer())]),
    ("parallel calls", [user("x"), model("Both.", use("a"), use("b")), user(answer("a"), answer("b"))]),
    (
        "calls and responses a content each",
        [user("x"), model(use("a")), model(use("b")), user(answer()), user(answer())],
    ),
    ("a call after a call", [user("x"), model(use()), user(answer()), model(use()), user(answer())]),
    ("text behind the response", [user("x"), model(use()), user(answer(), "go on")]),
    ("the older role of a response", [user("x"), model(use()), {"role": "function", "parts": [answer()]}]),
    ("no role", [{"parts": [{"text": "x"}]}]),
    ("the model first", [model("x"), user("y")]),
    ("an empty text", [user("x"), model(""), user("y")]),
    ("snake case", [user("x"), model({"function_call": {"name": "f"}}), user({"function_response": {"name": "f"}})]),
    ("files", [user({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, {"file_data": {"file_uri": "gs://x"}})]),
    ("thoughts", [user("x"), model({"text": "hm", "thought": True, "thoughtSignature": "AA=="}), user("y")]),
]


@pytest.mark.parametrize(("what", "contents"), GOOD, ids=[case[0] for case in GOOD])
def test_its_correct_twin(what, contents):
    assert decode({"contents": contents}).messages == contents


HELLO = {"contents": [user("hello")]}
REQUESTS = [
    (b"{", "Invalid JSON payload received. Expecting"),
    (b"[" * 100_000, "Invalid JSON payload received. It is nested too deeply"),
    (b"[]", "Root element must be a message."),
    (HELLO | {"stream": True}, 'Invalid JSON payload received. Unknown name "stream": Cannot find field.'),
    (HELLO | {"generationConfig": {"max_tokens": 5}}, "Unknown name \"max_tokens\" at 'generation_config'"),
    (HELLO | {"generationConfig": []}, "Invalid value at 'generation_config'"),
    (HELLO | {"generationConfig": {"temperature": 2.5}}, "temperature must be in the range [0.0, 2.0]."),
    (HELLO | {"generationConfig": {"temperature": "hot"}}, "'generation_config.temperature' (TYPE_FLOAT), 'hot'"),
    (HELLO | {"generationConfig": {"maxOutputTokens": 1.5}}, "'generation_config.max_output_tokens' (TYPE_INT32), 1.5"),
    (HELLO | {"generation_config": {"max_output_tokens": 0}}, "max_output_tokens must be positive."),
    (HELLO | {"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]}, "Duplicate function declaration"),
    (
        HELLO | {"tools": [{"functionDeclarations": [{"name": "1 f"}]}]},
        "function_declarations[0].name: [FIELD_INVALID]",
    ),
    (HELLO | {"tools": [{"functionDeclarations": [{}]}]}, "function_declarations[0].name: [FIELD_INVALID]"),
    (HELLO | {"tools": ["f"]}, "Invalid value at 'tools[0]'"),
]


@pytest.mark.parametrize(("body", "said"), REQUESTS, ids=[case[1] for case in REQUESTS])
def test_a_request_that_is_not_taken(body, said):
    with pytest.raises(BadRequest) as caught:
        decode(body)
    assert said in str(caught.value)
    assert caught.value.about == "request"


@pytest.mark.parametrize(
    "more",
    [
        {"generationConfig": {"temperature": 2, "topK": 5, "responseSchema": {}, "thinkingConfig": {}}},
        {"tools": [{"functionDeclarations": [{"name": "payments.refund"}]}, {"googleSearch": {}}]},
        {"safetySettings": [], "toolConfig": {}, "cachedContent": "cachedContents/x"},
        {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "serviceTier": "standard"},
    ],
)
def test_what_it_takes(more):
    assert decode(HELLO | more).data == HELLO | more


def test_a_refusal_as_the_sdk_sees_it(run_under):
    run = run_under()
    run.llm.says("Hi.")
    contents = [types.Content(role="user", parts=[types.Part(text="x")]), types.Content(role="model", parts=[])]
    client = genai.Client(api_key="test")
    with run.inside(), pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="m", contents=contents)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert "contents[1].parts: contents.parts must not be empty" in caught.value.message
    assert not list(run.trace.of(ModelRequested))


def test_the_field_at_fault_is_named_in_the_details(run_under):
    run = run_under()
    run.llm.says("Hi.")
    body = HELLO | {"generationConfig": {"max_tokens": 5}}
    with run.inside():
        reply = httpx.post(f"https://llm.example{PATH}", json=body)
        listed = httpx.post(f"https://llm.example{PATH.replace(':g', ':streamG')}", json=body)
    (detail,) = reply.json()["error"]["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert detail["fieldViolations"] == [
        {"field": "generation_config", "description": reply.json()["error"]["message"]}
    ]
    assert listed.json() == [reply.json()]
