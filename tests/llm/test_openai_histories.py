"""What OpenAI refuses in a chat history: each planted fault beside the correct twin."""

import copy
import json

import httpx
import openai
import pytest

from pytest_agent.llm.openai_chat import OpenAIChat
from pytest_agent.llm.request import BadRequest, WireRequest

CLIENT = openai.OpenAI(api_key="test", max_retries=0)
URL = "https://llm.example/v1/chat/completions"
USER = {"role": "user", "content": "hello"}


def called(*ids, **more):
    function = {"name": "lookup", "arguments": '{"order": 7}'}
    calls = [{"id": id_, "type": "function", "function": {**function, **more}} for id_ in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def answer(id_):
    return {"role": "tool", "tool_call_id": id_, "content": "7"}


UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
    "The following tool_call_ids did not have response messages: "
)
ORPHAN = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
NULL = "Invalid value for 'content': expected a string, got null."

# The bad history, what is said of it, `param`, `code`, and the history that is right.
CASES = {
    "a result of nothing": ([USER, answer("a")], ORPHAN, "messages.[1].role", None, [USER, called("a"), answer("a")]),
    "a result of another call": (
        [USER, called("a"), answer("b")],
        "Invalid parameter: 'tool_call_id' of 'b' not found in 'tool_calls' of previous message.",
        "messages.[2].tool_call_id",
        None,
        [USER, called("a"), answer("a")],
    ),
    "a result of an earlier turn": (
        [USER, called("a"), answer("a"), called("b"), answer("a"), answer("b")],
        "Invalid parameter: 'tool_call_id' of 'a' not found in 'tool_calls' of previous message.",
        "messages.[4].tool_call_id",
        None,
        [USER, called("a"), answer("a"), called("b"), answer("b")],
    ),
    "a call without its result": (
        [USER, called("a", "b"), answer("b"), USER],
        f"{UNANSWERED}a",
        "messages.[3].role",
        None,
        [USER, called("a", "b"), answer("b"), answer("a"), USER],
    ),
    "two calls at the end": ([USER, called("a", "b")], f"{UNANSWERED}a, b", "messages.[1].role", None, [USER]),
    "someone speaks in between": (
        [USER, called("a"), USER, answer("a")],
        f"{UNANSWERED}a",
        "messages.[2].role",
        None,
        [USER, called("a"), answer("a"), USER],
    ),
    "a result twice": (
        [USER, called("a"), answer("a"), answer("a")],
        "Duplicate value for 'tool_call_id' of 'a' in message[3]",
        "messages.[3].tool_call_id",
        None,
        [USER, called("a"), answer("a"), called("a"), answer("a")],
    ),
    "two calls of one id": (
        [USER, called("a", "a"), answer("a")],
        "Duplicate value for 'tool_call_id' of 'a' in message[1]",
        "messages.[1].tool_call_id",
        None,
        [USER, called("a", "b"), answer("a"), answer("b")],
    ),
    "no calls in the list of calls": (
        [USER, {**called(), "content": "x"}],
        "Invalid 'messages[1].tool_calls': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        "messages[1].tool_calls",
        "empty_array",
        [USER, {"role": "assistant", "content": "x", "tool_calls": None}],
    ),
    "arguments that are no text": (
        [USER, called("a", arguments={"order": 7}), answer("a")],
        "Invalid type for 'messages[1].tool_calls[0].function.arguments': expected a string, but got an object "
        "instead.",
        "messages[1].tool_calls[0].function.arguments",
        "invalid_type",
        [USER, called("a", arguments="no JSON at all"), answer("a")],
    ),
    "a name that is none": (
        [USER, called("a", name="orders.lookup"), answer("a")],
        "Invalid 'messages[1].tool_calls[0].function.name': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        "messages[1].tool_calls[0].function.name",
        "invalid_value",
        [USER, called("a", name="orders_lookup-2"), answer("a")],
    ),
    "a call without an id": (
        [USER, called(None), answer("a")],
        "Missing required parameter: 'messages[1].tool_calls[0].id'.",
        "messages[1].tool_calls[0].id",
        "missing_required_parameter",
        [USER, called("a"), answer("a")],
    ),
    "a result that names no call": (
        [USER, called("a"), {"role": "tool", "content": "7"}],
        "Missing required parameter: 'messages[2].tool_call_id'.",
        "messages[2].tool_call_id",
        "missing_required_parameter",
        [USER, called("a"), answer("a")],
    ),
    "an unknown role": (
        [{"role": "robot", "content": "x"}],
        "Invalid value: 'robot'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and "
        "'developer'.",
        "messages[0].role",
        "invalid_value",
        [{"role": "developer", "content": "x"}, USER],
    ),
    "no role": (
        [{"content": "x"}],
        "Missing required parameter: 'messages[0].role'.",
        "messages[0].role",
        "missing_required_parameter",
        [USER],
    ),
    "nothing of the model": (
        [USER, {"role": "assistant", "content": None}],
        NULL,
        "messages.[1].content",
        None,
        [USER, {"role": "assistant", "content": None, "refusal": "No."}],
    ),
    "nothing of the user": ([{"role": "user", "content": None}], NULL, "messages.[0].content", None, [USER]),
    "nothing of the tool": (
        [USER, called("a"), {**answer("a"), "content": None}],
        NULL,
        "messages.[2].content",
        None,
        [USER, called("a"), {**answer("a"), "content": ""}],
    ),
    "no content": (
        [{"role": "user"}],
        "Missing required parameter: 'messages[0].content'.",
        "messages[0].content",
        "missing_required_parameter",
        [USER],
    ),
    "no parts": (
        [{"role": "user", "content": []}],
        "Invalid 'messages[0].content': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        "messages[0].content",
        "empty_array",
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    ),
    "content of another type": (
        [{"role": "user", "content": 7}],
        "Invalid type for 'messages[0].content': expected one of a string or array of objects, "
        "but got an integer instead.",
        "messages[0].content",
        "invalid_type",
        [{"role": "user", "content": "7"}],
    ),
    "a part of another protocol": (
        [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "Invalid value: 'input_text'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', 'audio', "
        "and 'file'.",
        "messages[0].content[0].type",
        "invalid_value",
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    ),
    "a picture that is none of the user's": (
        [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}, USER],
        "Invalid 'messages[0]'. Image URLs are only allowed for messages with role 'user', but this message with "
        "role 'system' contains one.",
        "messages[0]",
        "invalid_value",
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
    ),
    "no messages": (
        [],
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "messages",
        "empty_array",
        [USER],
    ),
    "messages that are no list": (
        "hello",
        "Invalid type for 'messages': expected an array of objects, but got a string instead.",
        "messages",
        "invalid_type",
        [USER],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_history_that_cannot_be_sent_is_refused_and_its_twin_is_not(llm, case):
    bad, said, param, code, good = case
    llm.says("Hi.")
    with pytest.raises(openai.BadRequestError) as caught:
        CLIENT.chat.completions.create(model="gpt-5", messages=bad)
    assert (caught.value.body["message"], caught.value.param, caught.value.code) == (said, param, code)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id.startswith("req_")
    # What was refused was no question: the script begins with the twin.
    assert CLIENT.chat.completions.create(model="gpt-5", messages=good).choices[0].message.content == "Hi."


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_is_a_fault_of_the_history(case):
    body = json.dumps({"model": "gpt-5", "messages": case[0]}).encode()
    with pytest.raises(BadRequest) as caught:
        OpenAIChat().decode(WireRequest("POST", "/v1/chat/completions", {}, body))
    assert caught.value.about == "history"


@pytest.mark.parametrize("text", [rb'"\ud83d"', rb'"\uDC00 x"', b'"\xed\xa0\xbd"'], ids=["high", "low", "raw"])
def test_half_of_a_surrogate_pair_is_no_unicode(llm, text):
    llm.says("Hi.")
    body = b'{"model": "gpt-5", "messages": [{"role": "user", "content": %s}]}'
    reply = httpx.post(URL, content=body % text, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith("We could not parse the JSON body of your request.")
    with pytest.raises(BadRequest) as caught:
        OpenAIChat().decode(WireRequest("POST", "/v1/chat/completions", {}, body % text))
    assert caught.value.about == "history"
    assert httpx.post(URL, content=body % rb'"\ud83d\ude00 \ufffd"').status_code == 200


def test_half_of_a_pair_beside_the_history_is_no_fault_of_it():
    body = b'{"model": "gpt-5", "user": "\\ud83d", "messages": [{"role": "user", "content": "x"}]}'
    with pytest.raises(BadRequest) as caught:
        OpenAIChat().decode(WireRequest("POST", "/v1/chat/completions", {}, body))
    assert caught.value.about == "request"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_object_is_refused(llm, body):
    llm.says("Hi.")
    assert httpx.post(URL, content=body).json()["error"]["type"] == "invalid_request_error"
    httpx.post(URL, json={"model": "m", "messages": [USER]})


def test_pictures_sound_and_files_are_taken(llm):
    llm.says("Hi.")
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
    ]
    asked = copy.deepcopy(parts)
    CLIENT.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": parts}])
    assert llm.requests[0].messages == [{"role": "user", "content": asked}]


def test_the_history_in_the_words_of_no_provider():
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        called("c1"),
        answer("c1"),
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    body = json.dumps({"model": "gpt-5", "messages": messages}).encode()
    said = OpenAIChat().decode(WireRequest("POST", "/v1/chat/completions", {}, body)).history
    assert [(message.role, message.text) for message in said] == [
        ("system", "Be brief."),
        ("user", "a\nb"),
        ("assistant", ""),
        ("tool", "7"),
        ("assistant", "No."),
    ]
    assert (said[2].calls[0].name, said[2].calls[0].id, said[3].call_id) == ("lookup", "c1", "c1")
