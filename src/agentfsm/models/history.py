"""The history as every provider takes it: each call with its one result behind it, no half without the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from agentfsm.turns import Message


def paired(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the results of each turn right behind it, before anything the user said meanwhile.

    A call that has no result before the next turn is left out, and so is a result without its call. A history that is
    in order comes back as it was.
    """
    made: list[Message] = []
    for place, message in enumerate(messages):
        if message.role == "tool":
            continue
        if not message.calls:
            made.append(message)
            continue
        until = takewhile(lambda later: later.role != "assistant", messages[place + 1 :])
        asked = {call.id: call for call in message.calls}
        results = {m.call_id: m for m in reversed(list(until)) if m.role == "tool" and m.call_id in asked}
        calls = tuple(call for call in asked.values() if call.id in results)
        if calls or message.text.strip():
            made.append(message if calls == message.calls else message.model_copy(update={"calls": calls}))
        made += reversed(results.values())
    return made
