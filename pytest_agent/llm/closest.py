"""What to tell a person whose script and agent do not agree: what came closest, how it differs, the edit to make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytest_agent.errors import did_you_mean
from pytest_agent.llm.conversations import shown_names
from pytest_agent.llm.describing import describe
from pytest_agent.llm.wire import wire_name

if TYPE_CHECKING:
    from pytest_agent.llm.calls import LogicalCall
    from pytest_agent.llm.request import ModelRequest, WireRequest
    from pytest_agent.llm.rules import Rule
    from pytest_agent.llm.script import Line, Script


def nothing_said(script: Script, line: Line, request: ModelRequest, wire: WireRequest, declared: Sequence[str]) -> str:
    """A call that nothing answers, of a test that has declared these conversations."""
    where = f"conversation {script.name!r}: " if script.name else ""
    if line.problem is not None:
        return (
            f"{where}what the test says at model call {line.call.n} raised {line.problem}. The agent has no part in "
            "this: correct the predicate of llm.when(...) or the function of llm.answers_with(...)"
        )
    turns = script.turns
    last = f"; its last turn was {describe(turns[-1:])}" if turns else ""
    parts = [
        f"{where}model call {line.call.n} has no turn in the script, which has {len(turns)}{last}.",
        f"The agent asked {request.codec.name} after {request.last_message!r}.",
        _nearest_rule(script, line.call, request),
        script.undeclared or "",
        _undeclared_conversation(wire, declared) if declared and not script.name else "",
        f"Add what the model says then to {_says(script)}",
    ]
    return " ".join(part for part in parts if part)


def leftover(script: Script) -> list[str]:
    """What is left over in one conversation, a line for each."""
    lines = []
    left = script.leftover
    if left:
        total, asked = len(script.turns), len(script.turns) - len(left)
        whose = f" of conversation {script.name!r}" if script.name else ""
        hint = f" {script.undeclared}" if script.undeclared else ""
        lines.append(
            f"the script{whose} has {total} turn(s) and the agent asked for {asked}; never asked for: "
            f"{describe(left)}.{hint} Remove what the agent no longer asks for from {_says(script)}, "
            "or find out why it stopped early"
        )
    if script.half_said is not None and not script.half_said[0].optional:
        rule, said = script.half_said
        lines.append(
            f"{rule} has {len(rule.turns)} turn(s) and the agent asked for {said}; never asked for: "
            f"{describe(rule.turns[said:])}. Shorten the rule, or find out why the agent stopped early"
        )
    return lines


def unused_rules(rules: Iterable[Rule], scripts: Sequence[Script]) -> list[str]:
    """Rules that never fitted, a line for each, with the request that came nearest to it."""
    used = {number for script in scripts for number in script.uses}
    return [_never(rule, scripts) for rule in rules if not rule.optional and rule.number not in used]


def undeclared(call: LogicalCall, request: ModelRequest) -> str | None:
    """A call of a tool that the agent does not offer, where it offers any; None where all is well."""
    for made in call.told.calls if call.told is not None and request.tools else ():
        if wire_name(made.name, request.tools) not in request.tools:
            said_by = "what was said at" if call.turn is None else f"turn {call.turn + 1} of the script, said at"
            return (
                f"Note that {said_by} model call {call.n}, calls {made.name!r}, which the agent did not declare."
                f"{did_you_mean(made.name, request.tools)}"
            )
    return None


def _undeclared_conversation(wire: WireRequest, declared: Sequence[str]) -> str:
    names = shown_names(wire.headers)
    if not names:
        return f"It names none of the conversations {', '.join(declared)}."
    return f"It names conversation {names[0]!r}, which is not declared.{did_you_mean(names[0], declared)}"


def _never(rule: Rule, scripts: Sequence[Script]) -> str:
    if not rule.turns:
        return f"{rule} says nothing; add .says(...) to it, or remove it"
    asked = [
        (*rule.difference(request, n), n)
        for script in scripts
        if rule in script.known_rules
        for request, n in script.recent
    ]
    if not asked:
        how = "never fitted: the model was never asked"
    else:
        _, differs, n = max(asked, key=lambda entry: entry[0])
        how = f"never fitted; nearest was model call {n}: {differs}"
        if not differs:
            how = f"was never used: model call {n} fits it, and another rule or the rest of its turns came first"
    return f"{rule} {how}. Correct its conditions, remove it, or make it optional=True"


def _nearest_rule(script: Script, call: LogicalCall, request: ModelRequest) -> str:
    rules = [rule for rule in script.known_rules if rule.turns]
    if not rules:
        return ""
    scored = [(rule.difference(request, call.n), -place, rule) for place, rule in enumerate(rules)]
    (_, differs), _, rule = max(scored, key=lambda entry: (entry[0][0], entry[1]))
    if not differs:
        differs = f"it may fit {rule.times} time(s) in one conversation and has"
    return f"Of {len(rules)} rule(s) {rule} came closest: {differs}."


def _says(script: Script) -> str:
    return f"{script.spelled}.says(...)"
