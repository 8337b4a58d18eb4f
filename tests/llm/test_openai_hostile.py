"""Whatever stands in any one place of a request, it is taken or refused, and never an error of ours."""

import collections
import copy
import json

import pytest

from pytest_agent import Turn, call
from pytest_agent.llm.openai_chat import OpenAIChat
from pytest_agent.llm.openai_embeddings import OpenAIEmbeddings
from pytest_agent.llm.openai_responses import OpenAIResponses
from pytest_agent.llm.request import BadRequest, WireRequest

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
CHAT = {
    "model": "gpt-4o",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "7"},
    ],
    "tools": [{"type": "function", "function": {"name": "lookup", "strict": True, "parameters": CLOSED}}],
    "tool_choice": {"type": "function", "function": {"name": "lookup"}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 2,
    "stop": ["x"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": CLOSED}},
}
RESPONSES = {
    "model": "gpt-4o",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "x"}]},
        {"type": "function_call", "call_id": "c", "name": "lookup", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
    ],
    "tools": [{"type": "function", "name": "lookup", "parameters": {}}],
    "tool_choice": {"type": "function", "name": "lookup"},
    "text": {"format": {"type": "json_schema", "name": "x", "schema": CLOSED, "strict": True}},
    "reasoning": {"effort": "low"},
    "include": ["x"],
    "stream": True,
}
EMBEDDINGS = {"model": "text-embedding-3-small", "input": ["a", [1, 2]], "dimensions": 9, "encoding_format": "float"}
ODD = [None, True, 0, -1, 1.5, 1e400, 10**30, "", "x", "\ud83d", [], {}, [1], ["x"], [None], [{}], [[]], {"a": 1}]


def places(data, path=()):
    """The way to everything in the data."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def variants(data):
    """The data with each thing in it left out, and replaced by each odd value."""
    for path in places(data):
        for value in (*ODD, places):
            changed = copy.deepcopy(data)
            place = changed
            for key in path[:-1]:
                place = place[key]
            if value is places:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            yield WireRequest("POST", "/", {}, json.dumps(changed).encode())


@pytest.mark.parametrize(("codec", "whole"), [(OpenAIChat(), CHAT), (OpenAIResponses(), RESPONSES)])
def test_a_request_to_a_model(codec, whole):
    ends = collections.Counter()
    for wire in variants(whole):
        try:
            request = codec.decode(wire)
        except BadRequest as error:
            ends[codec.refuse(error).status] += 1
            continue
        assert request.history is not None
        assert request.last_message
        for turn in (Turn("a b", calls=(call("lookup", a=1),), reasoning="c"), Turn(refusal="No.")):
            ends[codec.encode(turn, request, 1).status] += 1
    assert set(ends) == {200, 400}


def test_a_request_for_embeddings():
    assert {OpenAIEmbeddings().answer(wire).status for wire in variants(EMBEDDINGS)} == {200, 400}
