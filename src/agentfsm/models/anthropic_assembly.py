"""Events of one Messages stream, or a whole message, into one Turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentfsm.contracts import plain_text
from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.models.counts import usage_of
from agentfsm.turns import Opaque, ToolCall, Turn, Usage

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
}
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_DELTAS = {
    "text_delta": ("text", "text"),
    "input_json_delta": ("tool_use", "partial_json"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
}
"""The kind of a delta: the kind of block it belongs to, and the name of what it brings."""


class _Block:
    """One block: `parts` gathers each of its texts under the name it comes by."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.kind = str(start.get("type"))
        self.start = dict(start)
        self.parts: dict[str, list[str]] = {}
        self.closed = False

    def text(self, name: str) -> str:
        return "".join(self.parts[name]) if name in self.parts else "" + (self.start.get(name) or "")

    def call(self) -> ToolCall:
        given = self.start.get("input")
        arguments = self.text("partial_json") or json.dumps(given if given is not None else {})
        call_id, name = str(self.start.get("id") or ""), str(self.start.get("name") or "")
        return ToolCall(id=plain_text(call_id), name=plain_text(name), arguments=plain_text(arguments))

    def kept(self) -> dict[str, Any]:
        if self.kind == "redacted_thinking":
            return {"type": self.kind, "data": self.text("data")}
        return {"type": self.kind, "thinking": self.text("thinking"), "signature": self.text("signature")}


class MessagesAssembly:
    """Gathers one attempt of the model `name`. Events that do not follow from one another are no message."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._blocks: dict[int, _Block] = {}
        self._stop: str | None = None
        self._begun = self._streamed = self._ended = False
        self._counts: dict[str, Any] = {}

    @property
    def over(self) -> bool:
        """Whether `message_stop` was seen."""
        return self._ended

    def add(self, part: Mapping[str, Any]) -> bool:
        """Take an event or a whole message in; a `ping`, and what only opens or closes, carries nothing."""
        kind = part.get("type")
        if kind == "message":
            return self._whole(part)
        self._streamed = True
        if kind == "message_start":
            _must(not self._begun, "a second message began in the stream")
            self._begun = True
            usage = part["message"].get("usage")  # its output is what was said before the end, no count of it
            self._count({name: usage.get(name) for name in _INPUT} if isinstance(usage, Mapping) else None)
        elif kind == "content_block_start":
            return self._open(part["index"], part["content_block"])
        elif kind == "content_block_delta":
            return self._delta(self._at(part["index"]), part["delta"])
        elif kind == "content_block_stop":
            self._at(part["index"]).closed = True
        elif kind == "message_delta":
            self._stopped(part["delta"])
            self._count(part.get("usage"))
            return self._stop is not None
        elif kind == "message_stop":
            self._ended = True
        return False

    def turn(self) -> Turn:
        """Return the complete turn; raise IncompleteTurn, or ModelError where the provider stopped it."""
        if self._stop is None or (self._streamed and not (self._begun and self._ended)):
            raise IncompleteTurn("the message ended before its stop", transient=True)
        if self._stop == "refusal":
            raise ModelError("the provider refused to answer", code="refused", transient=False)
        if self._stop not in _FINISH:
            raise IncompleteTurn(f"stop reason {self._stop[:40]!r} is not known as complete", transient=True)
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        if self._streamed and not all(block.closed for block in blocks):
            raise IncompleteTurn("a block of the message was not closed", transient=True)
        calls = tuple(block.call() for block in blocks if block.kind == "tool_use")
        if self._stop == "tool_use" and not calls:
            raise IncompleteTurn("it announced tool calls and made none", transient=True)
        finish: Any = _FINISH[self._stop]
        return Turn(
            text=plain_text("".join(block.text("text") for block in blocks if block.kind == "text")),
            calls=calls,
            finish=finish,
            usage=self._usage(),
            opaque=self._opaque(blocks),
        )

    def _whole(self, message: Mapping[str, Any]) -> bool:
        for index, block in enumerate(message["content"]):
            self._open(index, block)
        self._stopped(message)
        self._count(message.get("usage"))
        return True

    def _stopped(self, said: Mapping[str, Any]) -> None:
        if (reason := said.get("stop_reason")) is not None:
            self._stop = str(reason)

    def _open(self, index: Any, start: Mapping[str, Any]) -> bool:
        _must(type(index) is int and index not in self._blocks, "a block began twice, or has no number")
        self._blocks[index] = _Block(start)
        return start.get("type") == "tool_use"  # it says which; any other is empty as yet

    def _at(self, index: Any) -> _Block:
        _must(index in self._blocks and not self._blocks[index].closed, "a block that is not open goes on")
        return self._blocks[index]

    def _delta(self, block: _Block, delta: Mapping[str, Any]) -> bool:
        kind = delta.get("type")
        if kind not in _DELTAS:
            return True  # a citation, and whatever comes to be: the model is at work
        belongs, name = _DELTAS[kind]
        _must(block.kind == belongs, f"a {kind} came for a block of another kind")
        block.parts.setdefault(name, []).append("" + delta[name])
        return bool(delta[name])

    def _count(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            self._counts |= {name: count for name, count in usage.items() if type(count) is int and count > 0}

    def _usage(self) -> Usage | None:
        given = sum(self._counts.get(name, 0) for name in _INPUT)
        return usage_of(given, self._counts.get("output_tokens"), self._counts.get("cache_read_input_tokens"))

    def _opaque(self, blocks: list[_Block]) -> Opaque | None:
        """Return the thinking, where it came signed and before all else, for so it can be given back unharmed."""
        secret = [block for block in blocks if block.kind in {"thinking", "redacted_thinking"}]
        kept = tuple(block.kept() for block in secret)
        signed = all(block.get("signature") or block.get("data") for block in kept)
        return Opaque(model=self._name, blocks=kept) if kept and signed and blocks[: len(secret)] == secret else None


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise IncompleteTurn(otherwise, code="broken_stream", transient=True)
