"""Events of one Messages stream, or a whole message, into one Turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentfsm.contracts import plain_text
from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.turns import ToolCall, Turn, Usage

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


class _Block:
    def __init__(self, start: Mapping[str, Any]) -> None:
        self.kind = str(start.get("type"))
        self.id = str(start.get("id") or "")
        self.name = str(start.get("name") or "")
        self.text = str(start.get("text") or "")
        given = start.get("input")
        self.arguments = json.dumps(given) if given else ""
        self.closed = False


class MessagesAssembly:
    """Gathers one attempt. Thinking is passed over: it is never sent back, and no part of the answer."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._stop: str | None = None
        self._streamed = False
        self._ended = False
        self._given: int | None = None
        self._got: int | None = None

    @property
    def over(self) -> bool:
        """Whether `message_stop` was seen."""
        return self._ended

    def add(self, part: Mapping[str, Any]) -> bool:
        """Take an event or a whole message in; a `ping` carries nothing."""
        kind = part.get("type")
        if kind == "message":
            return self._whole(part)
        self._streamed = True
        if kind == "message_start":
            self._count(part["message"].get("usage"))
        elif kind == "content_block_start":
            self._blocks[int(part["index"])] = _Block(part["content_block"])
        elif kind == "content_block_delta":
            return self._delta(self._blocks[int(part["index"])], part["delta"])
        elif kind == "content_block_stop":
            self._blocks[int(part["index"])].closed = True
        elif kind == "message_delta":
            self._stop = part["delta"].get("stop_reason") or self._stop
            self._count(part.get("usage"))
        elif kind == "message_stop":
            self._ended = True
        else:
            return False
        return True

    def turn(self) -> Turn:
        """Return the complete turn; raise IncompleteTurn, or ModelError where the provider stopped it."""
        if self._stop is None or (self._streamed and not self._ended):
            raise IncompleteTurn("the message ended before its stop", transient=True)
        if self._stop == "refusal":
            raise ModelError("the provider refused to answer", code="refused", transient=False)
        if self._stop not in _FINISH:
            raise IncompleteTurn(f"stop reason {self._stop!r} is not known as complete", transient=True)
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        if self._streamed and not all(block.closed for block in blocks):
            raise IncompleteTurn("a block of the message was not closed", transient=True)
        calls = tuple(
            ToolCall(id=plain_text(b.id), name=plain_text(b.name), arguments=plain_text(b.arguments or "{}"))
            for b in blocks
            if b.kind == "tool_use"
        )
        if self._stop == "tool_use" and not calls:
            raise IncompleteTurn("it announced tool calls and made none", transient=True)
        text = "".join(block.text for block in blocks if block.kind == "text")
        finish: Any = _FINISH[self._stop]
        return Turn(text=plain_text(text), calls=calls, finish=finish, usage=self._usage())

    def _whole(self, message: Mapping[str, Any]) -> bool:
        for index, block in enumerate(message["content"]):
            self._blocks[index] = _Block(block)
        self._stop = message.get("stop_reason")
        self._count(message.get("usage"))
        return True

    def _delta(self, block: _Block, delta: Mapping[str, Any]) -> bool:
        kind = delta.get("type")
        if kind == "text_delta":
            block.text += "" + delta["text"]
            return bool(delta["text"])
        if kind == "input_json_delta":
            block.arguments += "" + delta["partial_json"]
            return bool(delta["partial_json"])
        return True  # thinking, a signature, a citation: the model is at work

    def _count(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            given = [usage.get(f"{kind}input_tokens") for kind in ("", "cache_creation_", "cache_read_")]
            known = [count for count in given if isinstance(count, int)]
            self._given = sum(known) if isinstance(given[0], int) else self._given
            got = usage.get("output_tokens")
            self._got = got if isinstance(got, int) else self._got

    def _usage(self) -> Usage | None:
        if self._given is None or self._got is None or self._given + self._got <= 0:
            return None  # a zero is a missing count, not a free call
        return Usage(input_tokens=self._given, output_tokens=self._got)
