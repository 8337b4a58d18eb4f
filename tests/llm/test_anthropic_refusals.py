"""What Anthropic refuses: each bad request with the provider's own words, and its correct twin."""

import json

import anthropic
import httpx
import pytest

from pytest_agent.llm.anthropic_messages import AnthropicMessages
from pytest_agent.llm.request import BadRequest, WireRequest
from pytest_agent.trace import ModelRequested

URL = "https://llm.example/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
USER = {"role": "user", "content": "hello"}
TOOL = {"name": "refund", "input_schema": {"type": "object"}}
CODEC = AnthropicMessages()


def use(*ids):
    return {"type": "tool_use", "id": ids[0], "name": "refund", "input": {}}


def model(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def results(*ids, **more):
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": id_, "content": "ok"} | more for id_ in ids],
    }


def text(said):
    return {"type": "text", "text": said}


def decode(body, headers=VERSION):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CODEC.decode(WireRequest("POST", "/v1/messages", headers, raw))


def ask(*messages, **more):
    return {"model": "claude-5", "max_tokens": 10, "messages": list(messages), **more}


UNANSWERED = "`tool_use` ids were found without `tool_result` blocks immediately after: "
UNASKED = "unexpected `tool_use_id` found in `tool_result` blocks: "
MUST = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."

HISTORIES = [
    ("a call without its result", [USER, model(use("a")), USER], f"messages.1: {UNANSWERED}a. {MUST}"),
    ("one result of two", [USER, model(use("a"), use("b")), results("a")], f"messages.1: {UNANSWERED}b. {MUST}"),
    ("none of two results", [USER, model(use("a"), use("b")), USER], f"{UNANSWERED}a, b. "),
    ("a call at the end", [USER, model(use("a"))], f"messages.1: {UNANSWERED}a. "),
    ("a result too late", [USER, model(use("a")), USER, model(text("x")), results("a")], f"messages.1: {UNANSWERED}a."),
    (
        "text before the result",
        [USER, model(use("a")), {"role": "user", "content": [text("Here:"), *results("a")["content"]]}],
        f"messages.1: {UNANSWERED}a. ",
    ),
    ("a message before that of the result", [USER, model(use("a")), USER, results("a")], f"messages.1: {UNANSWERED}a."),
    ("a result without a call", [USER, model(text("x")), results("a")], f"messages.2.content.0: {UNASKED}a. Each"),
    ("a result that comes first", [results("a")], f"messages.0.content.0: {UNASKED}a. "),
    ("a result of another call", [USER, model(use("a")), results("a", "z")], f"messages.2.content.1: {UNASKED}z. "),
    ("a result twice", [USER, model(use("a")), results("a", "a")], "each tool_use must have a single result"),
    ("a result in the model's mouth", [USER, model(*results("a")["content"])], "can only be in `user` messages"),
    ("one id twice in a turn", [USER, model(use("a"), use("a")), results("a")], "messages.1.content.1: `tool_use` ids"),
    (
        "one id in two turns",
        [USER, model(use("a")), results("a"), model(use("a")), results("a")],
        "messages.3.content.0: `tool_use` ids must be unique",
    ),
    ("an id that is blank", [USER, model(use("")), results("")], "tool_use.id: String should match pattern"),
    ("input that is text", [USER, model(use("a") | {"input": "{"}), results("a")], "tool_use.input: Input should be"),
    ("an empty text block", [USER, model(text("")), USER], "messages: text content blocks must be non-empty"),
    ("a blank text block", [USER, model(text(" \n")), USER], "text content blocks must contain non-whitespace text"),
    (
        "an empty text in a result",
        [USER, model(use("a")), results("a", content=[text("")])],
        "messages: text content blocks must be non-empty",
    ),
    ("no content", [{"role": "user", "content": []}], "messages.0: all messages must have non-empty content"),
    ("content missing", [{"role": "user"}], "messages.0.content: Field required"),
    ("content that is a number", [{"role": "user", "content": 7}], "messages.0.content: Input should be a valid list"),
    ("a block without a type", [{"role": "user", "content": [{}]}], "messages.0.content.0.type: Field required"),
    ("a message that is text", ["hello"], "messages.0: Input should be a valid dictionary"),
    ("the model first", [model(text("x")), USER], 'messages: first message must use the "user" role'),
    ("a system message first", [{"role": "system", "content": "x"}, USER], 'messages: Unexpected role "system"'),
    ("a role of another provider", [USER, {"role": "tool", "content": "x"}], "messages.1.role: Input should be"),
    (
        "white space at the end",
        [
            USER,
            model(text("So ")),
        ],
        "final assistant content cannot end with trailing whitespace",
    ),
    (
        "the same in a bare text",
        [USER, {"role": "assistant", "content": "So\n"}],
        "cannot end with trailing whitespace",
    ),
    ("no messages", [], "messages: at least one message is required"),
    (
        "half a pair",
        [{"role": "user", "content": "so \ud83d far"}],
        "not valid JSON: no low surrogate in string: line 1",
    ),
    (
        "its other half",
        [{"role": "user", "content": "so \ude00 far"}],
        "not valid JSON: invalid high surrogate in string",
    ),
]


@pytest.mark.parametrize(("what", "messages", "said"), HISTORIES, ids=[case[0] for case in HISTORIES])
def test_a_history_that_cannot_be_sent(what, messages, said):
    with pytest.raises(BadRequest) as caught:
        decode(ask(*messages))
    assert said in str(caught.value)
    assert caught.value.about == "history"


GOOD = [
    ("one call", [USER, model(use("a")), results("a")]),
    ("parallel calls", [USER, model(text("Both."), use("a"), use("b")), results("b", "a")]),
    ("results in two messages of one side", [USER, model(use("a"), use("b")), results("a"), results("b")]),
    ("calls in two messages of one side", [USER, model(use("a")), model(use("b")), results("a", "b")]),
    (
        "text behind the result",
        [USER, model(use("a")), {"role": "user", "content": [*results("a")["content"], text("Go")]}],
    ),
    ("a result without content", [USER, model(use("a")), results("a", content="")]),
    ("a result with an error", [USER, model(use("a")), results("a", is_error=True)]),
    ("the same side twice", [USER, USER]),
    ("a beginning for the model to go on with", [USER, model(text("So"))]),
    ("nothing in the model's last message", [USER, {"role": "assistant", "content": ""}]),
    ("a system message further on", [USER, {"role": "system", "content": "Be brief."}]),
    (
        "thinking given back",
        [USER, model({"type": "thinking", "thinking": "hm", "signature": "x"}, use("a")), results("a")],
    ),
    ("an emoji, escaped", [{"role": "user", "content": "so \U0001f600 far"}]),
    ("a backslash before a u", [{"role": "user", "content": r"C:\ud83d"}]),
    (
        "images and documents",
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                    {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
                    text("What is it?"),
                ],
            }
        ],
    ),
]


@pytest.mark.parametrize(("what", "messages"), GOOD, ids=[case[0] for case in GOOD])
def test_its_correct_twin(what, messages):
    assert decode(ask(*messages)).messages == messages


THINKING = {"type": "enabled", "budget_tokens": 1024}
REQUESTS = [
    (b"{", "The request body is not valid JSON: expecting"),
    (b"", "not valid JSON"),
    (b"[" * 100_000, "not valid JSON: it is nested too deeply"),
    (b'{"model": NaN}', "not valid JSON"),
    (b'{"model": "\xff"}', "not valid UTF-8"),
    (b"[]", "Input should be a valid dictionary"),
    ({"max_tokens": 1, "messages": [USER]}, "model: Field required"),
    ({"model": "m", "messages": [USER]}, "max_tokens: Field required"),
    ({"model": "m", "max_tokens": 1}, "messages: Field required"),
    (ask(USER, max_tokens=True), "max_tokens: Input should be a valid integer"),
    (ask(USER, max_tokens="9"), "max_tokens: Input should be a valid integer"),
    (ask(USER, max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
    (ask(USER, model=""), "model: String should have at least 1 character"),
    (ask(USER, model=None), "model: Input should be a valid string"),
    (ask(USER, messages={}), "messages: Input should be a valid list"),
    (ask(USER, stream="yes"), "stream: Input should be a valid boolean"),
    (ask(USER, system=7), "system: Input should be a valid list"),
    (ask(USER, system=[text("")]), "system: text content blocks must be non-empty"),
    (ask(USER, temperature=1.5), "temperature: range: 0..1"),
    (ask(USER, temperature="hot"), "temperature: Input should be a valid number"),
    (
        ask(USER, max_tokens=2000, thinking=THINKING, temperature=0.5),
        "`temperature` may only be set to 1 when thinking",
    ),
    (ask(USER, max_tokens=1000, thinking=THINKING), "`max_tokens` must be greater than `thinking.budget_tokens`"),
    (ask(USER, thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field required"),
    (ask(USER, thinking={"type": "enabled", "budget_tokens": 7}), "greater than or equal to 1024"),
    (ask(USER, response_format={}), "response_format: Extra inputs are not permitted"),
    (ask(USER, tools=[TOOL, TOOL]), "tools: Tool names must be unique."),
    (ask(USER, tools=[TOOL | {"name": "payments.refund"}]), "tools.0.custom.name: String should match pattern"),
    (ask(USER, tools=[TOOL | {"name": "x" * 129}]), "tools.0.custom.name: String should match pattern"),
    (ask(USER, tools=[{"name": "refund"}]), "tools.0.custom.input_schema: Field required"),
    (ask(USER, tools=[{"input_schema": {}}]), "tools.0.custom.name: Field required"),
    (ask(USER, tools=["refund"]), "tools.0: Input should be a valid dictionary"),
    (ask(USER, tools={}), "tools: Input should be a valid list"),
]


@pytest.mark.parametrize(("body", "said"), REQUESTS, ids=[case[1] for case in REQUESTS])
def test_a_request_that_is_not_taken(body, said):
    with pytest.raises(BadRequest) as caught:
        decode(body)
    assert said in str(caught.value)
    assert caught.value.about == "request"


@pytest.mark.parametrize(
    "body",
    [
        ask(USER, temperature=0, top_p=0.5, top_k=5, metadata={"user_id": "u"}, stop_sequences=["END"]),
        ask(USER, temperature=1, max_tokens=2000, thinking=THINKING),
        ask(
            USER,
            system="Be brief.",
            tools=[TOOL, {"type": "bash_20250124", "name": "bash"}],
            tool_choice={"type": "any"},
        ),
        ask(USER, system=[text("Be brief.") | {"cache_control": {"type": "ephemeral"}}], service_tier="auto"),
        ask(USER, output_config={"format": {"type": "json_schema", "schema": {}}}, temperature=None),
    ],
)
def test_what_it_takes(body):
    assert decode(body).data == body


def test_the_version_is_demanded():
    with pytest.raises(BadRequest, match="anthropic-version: header is required"):
        decode(ask(USER), headers={})


def test_a_refusal_as_the_sdk_sees_it(run_under):
    run = run_under()
    run.llm.says("Hi.")
    client = anthropic.Anthropic(api_key="test", max_retries=2)
    with run.inside(), pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**ask(USER, model(use("a")), USER))
    assert UNANSWERED in caught.value.message
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert caught.value.request_id == caught.value.body["request_id"] == "req_refused"
    assert not list(run.trace.of(ModelRequested))


def test_a_body_that_is_no_json(run_under):
    run = run_under()
    run.llm.says("Hi.")
    with run.inside():
        reply = httpx.post(URL, content=b"{", headers=VERSION)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
