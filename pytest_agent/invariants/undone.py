"""I20: undone in reverse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.invariants.legal_machine import is_open
from pytest_agent.invariants.lives import contracts_of, tasks_of
from pytest_agent.trace import AgentEvent, EffectCommitted, Event, OutcomeClaimed

ID, NAME = "I20", "undone in reverse"
_ABORTED = frozenset({"failed", "cancelled", "limit"})
Contracts = dict[str, dict[str, Any]]


def undone_in_reverse(evidence: Evidence) -> list[Violation] | None:
    """I20. In an aborted workflow every committed effect that declares a compensation is compensated exactly once.

    In reverse order; and in every workflow no tool takes an effect that its contract does not declare. Needs an agent
    that describes its `contracts`, with `name`, `effect_class` and `compensation`, and tasks that do not run at once;
    otherwise not judged. An outcome of `unknown` or `partial`, or a log that has not come to a terminal state, may
    leave effects as they are, for a person or a resume to settle. A success undoes nothing but what the clean run
    does. What undoes what is read from the agent's events of the kind `compensation` (`key`, `undoes`) where it
    reports them, and from the contracts otherwise.
    """
    tasks = tasks_of(evidence.events)
    if tasks is None or not any(contracts_of(task) for task in tasks):
        return None
    usual = Counter(event.tool for event in evidence.baseline or () if isinstance(event, EffectCommitted))
    found: list[Violation] = []
    for task in tasks:
        contracts = contracts_of(task)
        found += _undeclared(task, contracts)
        found += _undone(task, contracts, usual)
    return found


def _undeclared(task: Sequence[Event], contracts: Contracts) -> Iterator[Violation]:
    for event in _effects(task):
        if contracts.get(event.tool, {}).get("effect_class") == "pure":
            headline = f"{event.tool} changed the world, and its contract declares no effect"
            yield Violation(ID, NAME, headline, (_line(event),))


def _undone(task: Sequence[Event], contracts: Contracts, usual: Counter[str]) -> Iterator[Violation]:
    lines = tuple(_line(event) for event in _effects(task))
    left, problems, undone = _replayed(task, contracts)
    claim = next((event for event in reversed(task) if isinstance(event, OutcomeClaimed)), None)
    succeeded = claim is not None and claim.outcome == "success"
    if succeeded and any(times > usual[tool] for tool, times in undone.items()):
        names = ", ".join(undone)
        yield Violation(ID, NAME, f"a workflow that succeeded was partly undone, by {names}", lines)
    if not succeeded:
        for problem in problems:
            yield Violation(ID, NAME, problem, lines)
    if claim is not None and claim.outcome in _ABORTED and not is_open(task) and not _done(task):
        for event in reversed(left):
            undo = contracts[event.tool]["compensation"]
            yield Violation(
                ID, NAME, f"{event.tool} was not undone by {undo} in a workflow that ended as {claim.outcome}", lines
            )


def _done(task: Sequence[Event]) -> bool:
    """Whether the agent's own log says success, whatever its caller heard of it: one who went away heard nothing."""
    ends = [event.data for event in task if isinstance(event, AgentEvent) and event.data.get("kind") == "outcome"]
    return bool(ends) and ends[-1].get("outcome") == "success"


def _replayed(task: Sequence[Event], contracts: Contracts) -> tuple[list[EffectCommitted], list[str], Counter[str]]:
    """The ledger once more: the effects that are left, what was undone wrongly, and how often each tool undid."""
    undo = {row["compensation"] for row in contracts.values() if row.get("compensation")}
    undoes = {
        event.data.get("key"): event.data.get("undoes")
        for event in task
        if isinstance(event, AgentEvent) and event.data.get("kind") == "compensation"
    }
    left: list[EffectCommitted] = []
    passed: set[int] = set()
    was: set[str] = set()
    problems: list[str] = []
    undone: Counter[str] = Counter()
    for event in _effects(task):
        row = contracts.get(event.tool, {})
        # Made twice under one key it is one effect, and for I1 to judge.
        if row.get("compensation") and not any(event.key and event.key == other.key for other in left):
            left.append(event)
        if event.tool not in undo:
            continue
        undone[event.tool] += 1
        wanted = undoes.get(event.key) if event.key else None
        fits = [
            other
            for other in left
            if contracts[other.tool]["compensation"] == event.tool and (wanted is None or other.key == wanted)
        ]
        if not fits:
            again = "again, after its effect was undone" if event.tool in was else "and there was no effect to undo"
            problems.append(f"{event.tool} ran {again}")
            continue
        mine = fits[-1]
        if mine.seq in passed:
            problems.append(f"{event.tool} undid {mine.tool} out of order: an earlier effect was undone before it")
        passed.update(other.seq for other in left if other.seq > mine.seq)
        left.remove(mine)
        was.add(event.tool)
    return left, problems, undone


def _effects(task: Sequence[Event]) -> list[EffectCommitted]:
    return [event for event in task if isinstance(event, EffectCommitted)]


def _line(event: EffectCommitted) -> str:
    return f"ledger {event.entry}: {event.tool} key={event.key or 'none'}, {event.t_s:g} s"
