"""What the model said and what reached the client, in one line for a person."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pytest_agent.llm.reply import Delta, Reply
from pytest_agent.llm.turn import Turn

_ENDS = {
    "silence": "silence",
    "keep-alive": "nothing but keep-alives",
    "reset": "the connection was reset",
    "incomplete": "the connection was closed",
}


def describe(turns: Sequence[Turn]) -> str:
    """`refund({"order": 7}), 'Done.'`: all that these turns say."""
    said: list[str] = []
    for turn in turns:
        said.extend(f"{call.name}({call.arguments})" for call in turn.calls)
        said.extend(repr(text) for text in (turn.text, turn.refusal) if text)
    return ", ".join(said) or "nothing"


def describe_answer(reply: Reply) -> str:
    """A reply that came in place of the model's own."""
    if reply.error_code is not None:
        return f"answered {reply.status} {reply.error_code}"
    said = assembled([delta for chunk in reply.chunks for delta in chunk.deltas])
    return "the model said " + (", ".join(f"{call['name']}({call['arguments']})" for call in said) or "something else")


def describe_reply(reply: Reply) -> str:
    """How a fault has changed the way in which a reply arrives."""
    if reply.end in _ENDS:
        return f"{_ENDS[reply.end]} after event {len(reply.chunks)}"
    if reply.head_s:
        return "no status and no headers, ever" if reply.head_s == float("inf") else f"headers {reply.head_s:g} s late"
    if reply.error_code is not None:
        return f"{reply.error_code} with status {reply.status}"
    if reply.streamed and reply.terminal_at is None:
        return f"the stream ended after event {len(reply.chunks)} without a terminal event"
    late = [f"event {index + 1} {chunk.delay_s:g} s late" for index, chunk in enumerate(reply.chunks) if chunk.delay_s]
    return ", ".join(late) or f"{len(reply.chunks)} event(s)"


def assembled(deltas: Sequence[Delta]) -> list[dict[str, str]]:
    """The calls that these pieces make up."""
    calls: dict[int, dict[str, str]] = {}
    for delta in deltas:
        if delta.index is not None:
            made = calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
            made["id"] += delta.id
            made["name"] += delta.name
            made["arguments"] += delta.arguments
    return [calls[index] for index in sorted(calls)]


def same_meaning(meant: Turn, said: Turn) -> bool:
    """Whether a client that hears the one can tell no difference to the other: text, calls and their arguments."""
    if meant is said:
        return True
    return meant.text == said.text and [(c.name, _value(c.arguments)) for c in meant.calls] == [
        (c.name, _value(c.arguments)) for c in said.calls
    ]


def _value(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
