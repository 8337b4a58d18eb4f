"""Routes that need no script: embeddings and the list of models, asked by the real SDKs."""

import base64
import math
import struct

import anthropic
import httpx
import openai
import pytest
import respx

from pytest_agent.errors import RunAbort
from pytest_agent.llm.openai_embeddings import embed
from pytest_agent.trace import ModelRequested, ServiceAnswered

SYNC = openai.OpenAI(api_key="test", max_retries=0)
ASYNC = openai.AsyncOpenAI(api_key="test", max_retries=0)
SMALL = "text-embedding-3-small"
URL = "https://llm.example/v1/embeddings"


def cosine(first, second):
    return sum(a * b for a, b in zip(first, second, strict=True))


def vectors(*texts, **more):
    return [item.embedding for item in SYNC.embeddings.create(model=SMALL, input=list(texts), **more).data]


def test_equal_texts_have_equal_vectors_of_length_one(llm):
    (first,), (again, other) = vectors("a refund of 20"), vectors("a refund of 20", "weather")
    assert first == again != other
    assert len(first) == 1536
    assert math.isclose(cosine(first, first), 1, rel_tol=1e-6)


def test_texts_that_share_words_are_near_each_other(llm):
    asked, near, far = vectors("refund the order", "Refund the other order!", "sunny weather in April")
    assert cosine(asked, near) > 0.8 > 0.3 > abs(cosine(asked, far))


async def test_an_async_client(llm):
    reply = await ASYNC.embeddings.create(model=SMALL, input="hello")
    assert reply.data[0].embedding == vectors("hello")[0]


def test_both_encodings_say_the_same(llm):
    """The SDK asks for base64 where it is not told, and decodes it itself."""
    coded = SYNC.embeddings.create(model=SMALL, input="hello")
    plain = SYNC.embeddings.create(model=SMALL, input="hello", encoding_format="float")
    assert coded.data[0].embedding == plain.data[0].embedding
    raw = httpx.post(URL, json={"model": SMALL, "input": "hello", "encoding_format": "base64"}).json()
    said = base64.b64decode(raw["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(said) // 4}f", said)) == plain.data[0].embedding


@pytest.mark.parametrize(
    ("model", "dimensions", "size"),
    [
        (SMALL, openai.omit, 1536),
        (SMALL, 256, 256),
        ("text-embedding-3-large", openai.omit, 3072),
        ("text-embedding-ada-002", openai.omit, 1536),
        ("another", 1, 1),
    ],
)
def test_the_size_of_a_vector(llm, model, dimensions, size):
    reply = SYNC.embeddings.create(model=model, input="hello", dimensions=dimensions)
    assert len(reply.data[0].embedding) == size
    assert reply.model == model


@pytest.mark.parametrize(
    ("given", "count", "tokens"),
    [("hello world", 1, 3), (["a", "b"], 2, 2), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3), (["…", " "], 2, 2)],
)
def test_every_form_of_input(llm, given, count, tokens):
    reply = SYNC.embeddings.create(model=SMALL, input=given)
    assert [item.index for item in reply.data] == list(range(count))
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (tokens, tokens)


def test_two_places_of_a_word_that_cancel_each_other_leave_a_vector():
    for text in ("a", "b", "c", "d", "e", "f"):
        assert math.isclose(cosine(embed(text, 1), embed(text, 1)), 1)


EMPTY = (
    "empty string. Expected a string with minimum length 1, but got an empty string instead.",
    "array too long. Expected an array with maximum length 2048, but got an array with length 2049 instead.",
)


@pytest.mark.parametrize(
    ("bad", "said", "good"),
    [
        ({"input": []}, "'$.input' is invalid. Please check the API reference", {"input": ["x"]}),
        ({"input": ""}, f"Invalid 'input': {EMPTY[0]}", {"input": " "}),
        ({"input": ["a", ""]}, f"Invalid 'input[1]': {EMPTY[0]}", {"input": ["a", "b"]}),
        ({"input": ["a"] * 2049}, f"Invalid 'input': {EMPTY[1]}", {"input": ["a"] * 20}),
        ({"input": "x" * 32_769}, "Invalid 'input': maximum input length is 8192 tokens.", {"input": "x" * 32_768}),
        ({"input": [[1], []]}, "Invalid 'input[1]': empty array.", {"input": [[1], [2]]}),
        ({"input": [[1, "a"]]}, "Invalid type for 'input[0]': expected an array of integers", {"input": [[1, 2]]}),
        ({"input": {"a": 1}}, "Invalid type for 'input': expected one of a string or array", {"input": "a"}),
        ({"dimensions": 1537}, "Invalid value for 'dimensions' = 1537. Must be less than", {"dimensions": 1536}),
        ({"dimensions": 0}, "Invalid 'dimensions': integer below minimum value.", {"dimensions": 1}),
        ({"encoding_format": "hex"}, "Invalid value: 'hex'. Supported values are: 'float' and 'base64'.", {}),
        ({"model": "text-embedding-ada-002", "dimensions": 2}, "This model does not support specifying", {}),
        ({"model": ""}, "you must provide a model parameter", {}),
    ],
)
def test_what_the_provider_refuses(llm, bad, said, good):
    asked = {"model": SMALL, "input": "hello"}
    with pytest.raises(openai.BadRequestError) as caught:
        SYNC.embeddings.create(**{**asked, **bad})
    assert caught.value.body["message"].startswith(said)
    assert SYNC.embeddings.create(**{**asked, **good}).data


async def test_the_models_of_openai(llm):
    listed = [model.id for model in SYNC.models.list()]
    assert {"gpt-5", SMALL} <= set(listed)
    assert [model.id async for model in ASYNC.models.list()] == listed
    one = SYNC.models.retrieve("ft:gpt-5:acme/x")
    assert (one.id, one.object) == ("ft:gpt-5:acme/x", "model")


def test_the_models_of_anthropic_page_by_page(llm):
    client = anthropic.Anthropic(api_key="test", max_retries=0)
    whole = [model.id for model in client.models.list()]
    assert whole == [model.id for model in client.models.list(limit=1)]
    assert len(whole) > 1
    assert client.models.list(before_id=whole[-1], limit=1).data[0].id == whole[-2]
    one = client.models.retrieve("claude-x")
    assert (one.id, one.type, one.display_name) == ("claude-x", "model", "Claude X")


def test_they_use_up_no_turn_and_are_on_record(llm, run):
    llm.says("Hi.")
    SYNC.embeddings.create(model=SMALL, input="hello")
    SYNC.models.list()
    assert SYNC.responses.create(model="gpt-5", input="x").output_text == "Hi."
    assert [(event.service, event.path, event.status) for event in run.trace.of(ServiceAnswered)] == [
        ("OpenAI embeddings", "/v1/embeddings", 200),
        ("list of models", "/v1/models", 200),
    ]
    assert len(list(run.trace.of(ModelRequested))) == 1


def test_a_route_of_the_author_comes_first(llm):
    with respx.mock(assert_all_called=False, using="httpx") as mocked:
        mocked.post(URL).mock(return_value=httpx.Response(200, json={"mine": True}))
        assert httpx.post(URL, json={"model": SMALL, "input": "x"}).json() == {"mine": True}


def test_a_server_on_this_machine_is_asked_itself_where_there_is_no_script(llm, server):
    assert httpx.get(f"{server}/v1/models").text == "real"
    llm.says("Hi.")
    assert httpx.get(f"{server}/v1/models").json()["object"] == "list"
    httpx.post(f"{server}/v1/responses", json={"model": "gpt-5", "input": "x"})


def test_other_paths_are_nobodys(run_under):
    run = run_under()
    with run.inside(), pytest.raises(httpx.ConnectError, match=r"answers POST .../chat/completions, .../responses, "):
        httpx.get("https://hub.example/api/models")
    assert not list(run.trace.of(ServiceAnswered))


def test_an_agent_that_asks_without_end_is_ended(run_under, monkeypatch):
    monkeypatch.setattr("pytest_agent.llm.model.MOST_SERVED", 3)
    run = run_under()
    with run.inside():
        for _ in range(3):
            httpx.get("https://llm.example/v1/models")
        with pytest.raises(RunAbort, match="list of models and the like 3 times"):
            httpx.get("https://llm.example/v1/models")
    assert len(list(run.trace.of(ServiceAnswered))) == 3
