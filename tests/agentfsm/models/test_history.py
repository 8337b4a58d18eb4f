"""What is sent of a history: each call with its one result, nothing without its other half, in the provider's order."""

import json

from agentfsm.turns import Message, ToolCall


def asks(*ids, text=""):
    return Message(
        role="assistant", text=text, calls=tuple(ToolCall(id=i, name="orders.lookup", arguments="{}") for i in ids)
    )


def result(call_id, text="{}"):
    return Message(role="tool", text=text, call_id=call_id)


def user(text):
    return Message(role="user", text=text)


def shape(provider, *history):
    """Return role and ids or text of everything that was sent after the first user message."""
    provider.says("Hi.", provider.request(*history))
    found = []
    for message in json.loads(provider.sent[-1])["messages"]:
        if message["role"] == "tool":
            found.append(("result", message["tool_call_id"]))
            continue
        blocks = message["content"] if isinstance(message["content"], list) else []
        for block in blocks or [{"type": "text", "text": message["content"]}]:
            if block["type"] == "tool_result":
                found.append(("result", block["tool_use_id"]))
            elif block["type"] == "tool_use":
                found.append(("call", block["id"]))
            elif block["text"]:
                found.append((message["role"], block["text"]))
        found += [("call", call["id"]) for call in message.get("tool_calls", ())]
    return found[found.index(("user", "hi")) + 1 :]


def test_a_history_in_order_is_sent_as_it_is(provider):
    history = (asks("a", "b", text="Both."), result("a"), result("b"), user("and?"), asks("c"), result("c"))
    expected = [
        ("assistant", "Both."),
        ("call", "a"),
        ("call", "b"),
        ("result", "a"),
        ("result", "b"),
        ("user", "and?"),
    ]
    assert shape(provider, *history) == [*expected, ("call", "c"), ("result", "c")]


def test_a_call_without_a_result_is_not_sent(provider):
    assert shape(provider, asks("a", "b"), result("b"), user("x")) == [("call", "b"), ("result", "b"), ("user", "x")]
    assert shape(provider, asks("a"), user("x")) == [("user", "x")]
    assert shape(provider, asks("a", text="Well."), user("x")) == [("assistant", "Well."), ("user", "x")]


def test_a_result_without_its_call_is_not_sent(provider):
    assert shape(provider, result("z"), asks("a"), result("a"), result("z")) == [("call", "a"), ("result", "a")]


def test_a_result_that_came_in_a_later_turn_is_not_taken_for_the_calls(provider):
    assert shape(provider, asks("a"), asks("b"), result("b"), result("a")) == [("call", "b"), ("result", "b")]


def test_what_the_user_said_meanwhile_comes_after_the_results(provider):
    history = (asks("a", "b"), result("a"), user("hurry"), result("b"))
    assert shape(provider, *history) == [
        ("call", "a"),
        ("call", "b"),
        ("result", "a"),
        ("result", "b"),
        ("user", "hurry"),
    ]


def test_one_call_has_one_result(provider):
    assert shape(provider, asks("a", "a"), result("a"), result("a", "again")) == [("call", "a"), ("result", "a")]
