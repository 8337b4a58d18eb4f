"""The conversations of one run: which of them a request belongs to, and which of them called a tool."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.llm.calls import LogicalCall
from pytest_agent.llm.conversations import conversation_of, current
from pytest_agent.llm.request import WireRequest
from pytest_agent.llm.rules import Rule
from pytest_agent.llm.script import Script
from pytest_agent.llm.told import Told
from pytest_agent.llm.turn import ToolCall
from pytest_agent.llm.wire import wire_name
from pytest_agent.trace import ToolCalled, ToolReplied, Trace


class Scripts:
    """By name; "" is the default one, of the requests that belong to no other."""

    def __init__(self, shared: Told, rules: list[Rule], most_calls: int | None) -> None:
        self._shared = shared
        self._rules = rules
        self._most_calls = most_calls
        self._by_name: dict[str, Script] = {}
        self.default = self.declare("")

    def __iter__(self) -> Iterator[Script]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Script:
        return self._by_name[name]

    @property
    def names(self) -> list[str]:
        """Those that are declared."""
        return [name for name in self._by_name if name]

    def declare(self, name: str) -> Script:
        """The script of this name, made where there was none."""
        if name not in self._by_name:
            number = len(self._by_name)
            self._by_name[name] = Script(name, self._shared, self._rules, number=number, most_calls=self._most_calls)
        return self._by_name[name]

    def check_declared(self, name: str) -> None:
        """Raise UsageError for a name that is not."""
        if name not in self.names:
            known = did_you_mean(name, self.names)
            raise UsageError(f"conversation {name!r} is not declared; say llm.conversation({name!r}).says(...).{known}")

    def of(self, wire: WireRequest) -> str:
        """The name of the conversation that a request belongs to."""
        if len(self._by_name) == 1:
            return ""
        names = (current() or "", *conversation_of(wire.headers))
        return next((name for name in names if name in self._by_name and name), "")

    def caller(self, reply: ToolReplied, trace: Trace) -> LogicalCall | None:
        """The call whose turn asked for this use of a tool: that of the context's own conversation, else of the one
        whose last turn calls the tool, with these arguments where several do.
        """
        if len(self._by_name) == 1:
            return self.default.book.last
        own = self._by_name.get(current() or "")
        if own is not None and own.name:
            return own.book.last
        last = [script.book.last for script in self]
        asking = [call for call in last if call is not None and any(_calls(call, reply.tool))]
        if len(asking) > 1:
            uses = (event for event in reversed(trace.events) if isinstance(event, ToolCalled))
            used = next((event.arguments for event in uses if event.site == reply.site), None)
            exactly = [call for call in asking if any(_arguments(made) == used for made in _calls(call, reply.tool))]
            asking = exactly or asking
        return asking[-1] if asking else self.default.book.last


def _calls(call: LogicalCall, tool: str) -> Iterator[ToolCall]:
    return (made for made in (call.told.calls if call.told else ()) if wire_name(made.name, (tool,)) == tool)


def _arguments(made: ToolCall) -> object:
    try:
        return json.loads(made.arguments)
    except ValueError:
        return made.arguments
