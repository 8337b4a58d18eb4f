"""The model says again the last call that it has made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import ToolCall, Turn


class RepeatCall(LlmEffect):
    """In place of its turn the model makes the last call of the history once more, with the same arguments.

    `pure_only`: only where that changes nothing, because the tools that the last turn called are without effect.
    """

    name: ClassVar[str] = "repeat-call"
    pure_only: bool = False

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies where a tool was called before."""
        del sweep
        return [self] if facts.get("pure" if self.pure_only else "called") else []

    def answer(self, request: ModelRequest) -> Reply | None:
        """The call as the history has it; None where there is none."""
        made = [call for message in request.history for call in message.calls]
        if not made:
            return None
        # Its id is new, as that of a model that does not notice; the length of the history makes it so.
        call = ToolCall(made[-1].name, made[-1].arguments, f"again_{len(request.messages)}")
        reply = request.codec.encode(Turn(calls=(call,)), request, len(request.messages))
        return dataclasses.replace(reply, meant=False)
