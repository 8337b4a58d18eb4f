"""What is remembered under load is exactly what would be said without."""

import dataclasses
import json

import pytest

from pytest_agent import Turn, call
from pytest_agent.llm import memo
from pytest_agent.llm.memo import Remembering
from pytest_agent.llm.protocols import CODECS
from pytest_agent.llm.request import BadRequest, WireRequest

OPENAI, RESPONSES, ANTHROPIC, GEMINI = CODECS
USER = [{"role": "user", "content": "hello"}]
TURNS = [
    Turn(text="one two 9100000017"),
    Turn(text="Look.", calls=(call("lookup", id=7), call("other"))),
    Turn(refusal="No."),
    Turn(text="cut", stop="length"),
]
ASKED = [
    (OPENAI, "/v1/chat/completions", {"model": "gpt-5", "messages": USER}),
    (OPENAI, "/v1/chat/completions", {"model": "gpt-5", "messages": USER, "stream": True}),
    (RESPONSES, "/v1/responses", {"model": "gpt-5", "input": "hello"}),
    (RESPONSES, "/v1/responses", {"model": "gpt-5", "input": "hello", "stream": True}),
    (ANTHROPIC, "/v1/messages", {"model": "claude-sonnet-5", "max_tokens": 10, "messages": USER, "stream": True}),
    (
        GEMINI,
        "/v1beta/models/gemini-2.5-pro:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
    ),
]


def wire(path, data, **headers):
    return WireRequest("POST", path, {"anthropic-version": "2023-06-01", **headers}, json.dumps(data).encode())


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(("codec", "path", "data"), ASKED)
def test_every_reply_is_the_same_bytes_as_without(codec, path, data, turn):
    known = Remembering(codec)
    for n in (1, 2, 12_345, 9_100_000_017):
        request, plain = known.decode(wire(path, data)), codec.decode(wire(path, data))
        found, expected = request.codec.encode(turn, request, n), plain.codec.encode(turn, plain, n)
        assert dataclasses.replace(found, words=None) == dataclasses.replace(expected, words=None)
        assert found.words.error_event("rate_limit") == expected.words.error_event("rate_limit")
        assert dataclasses.replace(request, codec=plain.codec) == plain


def test_a_body_is_read_once_and_another_anew():
    known = Remembering(OPENAI)
    path, data = ASKED[0][1:]
    assert known.decode(wire(path, data)) is known.decode(wire(path, data))
    assert known.decode(wire(path, {**data, "seed": 1})) is not known.decode(wire(path, data))
    assert known.decode(wire(path, data, **{"x-stainless-retry-count": "2"})).retry_count == 2
    assert known.decode(wire(path, data, **{"idempotency-key": "k"})).idempotency_key == "k"


def test_what_is_refused_is_refused_each_time():
    known = Remembering(OPENAI)
    for _ in range(2):
        with pytest.raises(BadRequest):
            known.decode(wire(ASKED[0][1], {"model": "gpt-5"}))


def test_it_forgets(monkeypatch):
    monkeypatch.setattr(memo, "MOST_BODIES", 3)
    known = Remembering(OPENAI)
    path, data = ASKED[0][1:]
    first = known.decode(wire(path, data))
    for seed in range(3):
        known.decode(wire(path, {**data, "seed": seed}))
    assert known.decode(wire(path, data)) is not first
    assert len(known._known) == 3


def test_a_turn_whose_calls_are_a_list_says_the_same():
    known = Remembering(OPENAI)
    path, data = ASKED[0][1:]
    request = known.decode(wire(path, data))
    listed, said = Turn(calls=[call("lookup", id=7)]), Turn(calls=(call("lookup", id=7),))
    assert [request.codec.encode(listed, request, n) for n in (1, 2, 3)] == [
        request.codec.encode(said, request, n) for n in (1, 2, 3)
    ]
