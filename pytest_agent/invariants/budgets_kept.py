"""I4: ends within budgets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_agent.invariants.evidence import Evidence, Operation, Violation, operation, say
from pytest_agent.invariants.lives import contracts_of, described, tasks_of
from pytest_agent.trace import (
    AgentStarted,
    Died,
    Event,
    FaultApplied,
    ModelReplied,
    ModelRequested,
    OutcomeClaimed,
    RunAborted,
    ToolCalled,
    ToolReplied,
)

ID, NAME = "I4", "ends within budgets"
IDENTICAL_CALLS = 3
"""How often one tool may be called with the same arguments and the same result."""
STEP_S = 30.0
"""Seconds that one call may take where the agent does not say."""
_SHOWN = 500
"""Characters of a result that a trace holds; of a longer one nobody can say that it is the same."""


def ends_within_budgets(evidence: Evidence) -> list[Violation]:
    """I4. The run ends by itself, within the agent's own limits, and without going round in circles.

    It does not end when the agent waits for what never comes, with nothing left that could wake it, or asks the model
    without end. The limits are those the agent describes for one task: `model_calls` and `tool_calls`, which count
    attempts, and `wall_s`. Each is overshot by at most one call in flight; a compensation may go beyond them, and a
    declared wait stops the clock. The same tool with the same arguments and the same result is called at most
    `IDENTICAL_CALLS` times, as often as the agent's limit `same_call` says, or as often as the clean run does; the
    attempts of one call count once.
    """
    aborted = [Violation(ID, NAME, f"{event.reason}: {event.detail}") for event in evidence.of(RunAborted)]
    for task in tasks_of(evidence.events) or ():
        limits = described(task, "limits")
        if isinstance(limits, dict):
            aborted += [*_counted(task, limits), *_timed(task, limits)]
    return aborted + _circles(evidence)


def _counted(task: Sequence[Event], limits: Mapping[str, Any]) -> Iterator[Violation]:
    used = {"model_calls": 0, "tool_calls": 0}
    for event in _onward(task):
        used["model_calls" if isinstance(event, ModelRequested) else "tool_calls"] += 1
    for name, count in used.items():
        most = _number(limits.get(name))
        if most is not None and count > most + 1:
            words = name.replace("_", " ")
            yield Violation(ID, NAME, f"{count} {words} were made; the agent's own limit is {most:g}")


def _onward(task: Sequence[Event]) -> list[ModelRequested | ToolCalled]:
    """The calls that the agent's limits are for: not what undoes, and no question by which it learns of an effect."""
    contracts = contracts_of(task)
    undo = {row.get("compensation") for row in contracts.values()}
    return [
        event
        for event in task
        if isinstance(event, ModelRequested)
        or (isinstance(event, ToolCalled) and event.tool not in undo and (not contracts or event.tool in contracts))
    ]


def _timed(task: Sequence[Event], limits: Mapping[str, Any]) -> Iterator[Violation]:
    wall_s = _number(limits.get("wall_s"))
    began = next((event for event in task if isinstance(event, AgentStarted)), None)
    if wall_s is None or began is None:
        return
    step_s = _number(limits.get("step_s")) or STEP_S
    spent = _spent(task, step_s, waits=bool(described(task, "waits")))
    late = [event for event in _onward(task) if spent[event.seq] > wall_s]
    ended = next((event for event in reversed(task) if isinstance(event, (OutcomeClaimed, RunAborted))), None)
    if len(late) > 1:
        lines = tuple(f"{event.site}: {spent[event.seq]:g} s" for event in late)
        yield Violation(ID, NAME, f"{len(late)} calls began after {wall_s:g} s, the agent's own limit", lines)
    elif ended is not None and not _held_up(task) and spent[ended.seq] > wall_s + step_s * (1 + _undoing(task)):
        headline = f"the task took {spent[ended.seq]:g} s; the agent's own limit is {wall_s:g} s"
        yield Violation(ID, NAME, headline)


def _spent(task: Sequence[Event], step_s: float, *, waits: bool) -> dict[int, float]:
    """Seconds on the task's own clock at each event, by its `seq`.

    The clock stands still between two lives, and, for an agent that declares waits, while nothing of it is under way
    for longer than a step may take.
    """
    spent: dict[int, float] = {}
    clock, last_s = 0.0, task[0].t_s
    running, flying = False, set[str]()
    for event in task:
        gap_s = event.t_s - last_s
        if running and not (waits and not flying and gap_s > step_s):
            clock += gap_s
        last_s, spent[event.seq] = event.t_s, clock
        if isinstance(event, AgentStarted):
            running, flying = True, set()
        elif isinstance(event, (Died, OutcomeClaimed)):
            running = False
        elif isinstance(event, (ModelRequested, ToolCalled)):
            flying.add(event.site)
        elif isinstance(event, (ModelReplied, ToolReplied)):
            flying.discard(event.site)
    return spent


def _held_up(task: Sequence[Event]) -> bool:
    """Whether a fault stopped the process or its store for a while, which the agent cannot help."""
    return any(
        isinstance(event, Died)
        or (isinstance(event, FaultApplied) and event.site.startswith(("process@", "store:", "clock")))
        for event in task
    )


def _undoing(task: Sequence[Event]) -> int:
    """How many compensations were begun; each has a step's time of its own."""
    undo = {row.get("compensation") for row in contracts_of(task).values()}
    return len({(event.tool, event.call) for event in task if isinstance(event, ToolCalled) and event.tool in undo})


def _circles(evidence: Evidence) -> list[Violation]:
    now, usual = _identical(evidence.events), _identical(evidence.baseline or ())
    own = _number((described(evidence.events, "limits") or {}).get("same_call"))
    # A process that died before it had stored a result has to look again.
    deaths = sum(1 for _ in evidence.of(Died))
    return [
        Violation(ID, NAME, f"{say(tool, arguments)} was called {count} times with the same result", (result,))
        for ((tool, arguments), result), count in now.items()
        if count > max(own or IDENTICAL_CALLS, usual[(tool, arguments), result]) + deaths
    ]


def _identical(events: Sequence[Event]) -> Counter[tuple[Operation, str]]:
    asked: dict[str, ToolCalled] = {}
    calls: dict[tuple[Operation, str], set[int]] = defaultdict(set)
    for event in events:
        if isinstance(event, ToolCalled):
            asked[event.site] = event
        elif isinstance(event, ToolReplied) and event.status == "ok" and len(event.detail) < _SHOWN:
            called = asked.get(event.site)
            if called is not None:
                calls[operation(called.tool, called.arguments), event.detail].add(called.call)
    return Counter({key: len(numbers) for key, numbers in calls.items()})


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
