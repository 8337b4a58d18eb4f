"""What a test tells the model besides a script: rules, and a function for whatever they leave open."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.rules import Matcher, Rule, make_rule
from pytest_agent.llm.turn import Said

Function = Callable[[ModelRequest], Said]
"""Answers a request out of what it says, and of nothing else: requests of several agents may come in any order."""


class Told:
    """The rules and the function of one conversation, or of all of them. `spelled` is how a test writes it."""

    def __init__(self, all_rules: list[Rule], spelled: str) -> None:
        self._all_rules = all_rules
        self.spelled = spelled
        self.rules: list[Rule] = []
        self.function: Function | None = None

    def when(
        self,
        *,
        last: Matcher | None = None,
        tool_result: Matcher | None = None,
        model: Matcher | None = None,
        turn: int | Callable[[int], bool] | None = None,
        conversation: Matcher | None = None,
        system: Matcher | None = None,
        times: int | None = None,
        optional: bool = False,
    ) -> Rule:
        """A rule: `llm.when(last="refund").says(call("lookup"), "Done.")`. The first that fits wins over the script.

        Every condition given must hold: `last`, the text of the last message; `tool_result`, that of a result that has
        come since the model last spoke; `model`; `system`, the system prompts; `turn`, the number of the logical call
        in its conversation; `conversation`, whose text is its whole name. Of the others a text is a part.
        `times` is how often it may fit in one conversation; None is no limit. A rule that never fits fails the test,
        and so does one that was not asked for all of its turns, unless it is `optional`.
        Raises TypeError for what cannot be asked.
        """
        wanted = {
            "last": last,
            "tool_result": tool_result,
            "model": model,
            "turn": turn,
            "conversation": conversation,
            "system": system,
        }
        rule = make_rule(self.spelled, len(self._all_rules) + 1, wanted, times=times, optional=optional)
        self._all_rules.append(rule)
        self.rules.append(rule)
        return rule

    def answers_with(self, function: Function) -> None:
        """What the model says where no rule fits and no turn is left: `function(request)`, in any form of `says`.

        It is a plain function, called once for each logical call; a `Persona` is one. An exception in it is an error
        of the test and fails it. Raises TypeError for a coroutine function.
        """
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            raise TypeError(f"{function!r} is async; llm.answers_with takes a plain function: make it `def`")
        self.function = function
