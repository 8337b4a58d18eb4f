"""The model's tool call carries arguments that are not what a JSON parser or a contract accepts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, Self, get_args

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.turn import ToolCall, Turn

How = Literal["unescaped", "unclosed", "list", "empty"]


class MalformArguments(LlmEffect):
    """Every call of the turn has its arguments spoiled.

    `how`: `unescaped` has a bare quote inside a string, `unclosed` lacks its end although the turn is complete,
    `list` is valid JSON but no object, `empty` is an object with nothing in it.
    """

    name: ClassVar[str] = "malform-arguments"
    how: How = "unescaped"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to turns that call a tool with arguments; each way where `how` is swept."""
        if not facts.get("arguments"):
            return []
        return [self.with_params(how=how) for how in get_args(How)] if "how" in sweep else [self]

    def change_turn(self, turn: Turn) -> Turn:
        """The same calls with other arguments."""
        if not any(call.has_arguments for call in turn.calls):
            return turn
        return dataclasses.replace(turn, calls=tuple(self._spoil(call) for call in turn.calls))

    def _spoil(self, call: ToolCall) -> ToolCall:
        if not call.has_arguments:
            return call
        text = {
            "unescaped": '{"note": "he said "yes"", ' + call.arguments[1:],
            "unclosed": call.arguments.rstrip()[:-1],
            "list": f"[{call.arguments}]",
            "empty": "{}",
        }[self.how]
        return dataclasses.replace(call, arguments=text)
