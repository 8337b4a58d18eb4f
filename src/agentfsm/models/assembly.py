"""Chunks of one Chat Completions stream into one Turn. Thrown away whole where the stream breaks off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfsm.contracts import plain_text
from agentfsm.errors import IncompleteTurn, ModelError
from agentfsm.models.counts import usage_of
from agentfsm.turns import ToolCall, Turn, Usage

_FINISH = {"stop": "stop", "tool_calls": "tool_calls", "function_call": "tool_calls", "length": "length"}


@dataclass
class _Call:
    index: int
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ChatAssembly:
    """Gathers one attempt."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: list[_Call] = []
        self._refusal = False
        self._finish: str | None = None
        self._usage: Usage | None = None

    @property
    def over(self) -> bool:
        """Never: the usage comes after the finish reason, and `[DONE]` ends the stream."""
        return False

    def add(self, chunk: Mapping[str, Any]) -> bool:
        """Take a chunk (or a plain body) in; return whether it carried anything."""
        news = self._add_usage(chunk.get("usage"))
        choices = chunk.get("choices")
        for choice in choices[:1] if isinstance(choices, list) else ():
            part = choice.get("delta", choice.get("message")) or {}
            old = part.get("function_call")  # of servers that know no parallel calls
            for call in [*(part.get("tool_calls") or ()), *([{"index": 0, "function": old}] if old else ())]:
                news = self._add_call(call) or news
            if part.get("refusal"):
                self._refusal = True
            if content := part.get("content"):
                self._text.append("" + content)
                news = True
            if choice.get("finish_reason"):
                self._finish = self._finish or str(choice["finish_reason"])
                news = True
        return news

    def turn(self) -> Turn:
        """Return the complete turn; raise IncompleteTurn, or ModelError where the provider stopped it."""
        if self._finish is None:
            raise IncompleteTurn("the reply ended before its finish reason", transient=True)
        if self._finish == "content_filter" or self._refusal:
            code = "refused" if self._refusal else "content_filter"
            raise ModelError("the provider refused to answer", code=code, transient=False)
        if self._finish not in _FINISH:
            raise IncompleteTurn(f"finish reason {self._finish[:40]!r} is not known as complete", transient=True)
        if self._finish in {"tool_calls", "function_call"} and not self._calls:
            raise IncompleteTurn("it announced tool calls and made none", transient=True)
        calls = tuple(
            ToolCall(id=plain_text(c.id), name=plain_text(c.name), arguments=plain_text("".join(c.arguments)))
            for c in self._calls
        )
        finish: Any = _FINISH[self._finish]
        return Turn(text=plain_text("".join(self._text)), calls=calls, finish=finish, usage=self._usage)

    def _add_usage(self, usage: Any) -> bool:
        if not isinstance(usage, Mapping):
            return False
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        counted = usage_of(usage.get("prompt_tokens"), usage.get("completion_tokens"), cached)
        self._usage = counted or self._usage
        return counted is not None

    def _add_call(self, delta: Mapping[str, Any]) -> bool:
        function = delta.get("function") or {}
        call_id, name = str(delta.get("id") or ""), str(function.get("name") or "")
        call = self._slot(delta.get("index"), call_id, name)
        call.id, call.name = call.id or call_id, call.name or name
        arguments = function.get("arguments") or ""
        call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))
        return bool(name or arguments)

    def _slot(self, index: Any, call_id: str, name: str) -> _Call:
        """Find the call a delta belongs to: by index and id, for two calls may share either."""
        if not isinstance(index, int):  # plain bodies, and servers that leave it out
            same = [c for c in self._calls if (call_id and c.id == call_id) or not (call_id or name)]
            index = same[-1].index if same and not name else len(self._calls)
        mine = [c for c in self._calls if c.index == index and (not call_id or c.id in {"", call_id})]
        if not mine:
            mine = [_Call(index)]
            self._calls += mine
        return mine[-1]
