"""I14: clean cancel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pytest_agent.invariants.evidence import Evidence, Violation, say
from pytest_agent.invariants.lives import contracts_of
from pytest_agent.trace import AgentLeft, CancelAsked, Died, EffectCommitted, ToolCalled

ID, NAME = "I14", "clean cancel"
_KINDS = {"tasks": "task", "threads": "thread", "children": "child process", "sockets": "socket"}


def clean_cancel(evidence: Evidence) -> list[Violation] | None:
    """I14. After a cancel no new effect, and no surviving task, thread, child process or socket.

    New is an effect whose tool was called after the cancel had reached the agent; a user's request may come while one
    step is under way. A tool that undoes another one, or that the clean run never calls, may be called: it tidies up.
    A client that went away is gone from the memory of the process with which it dies: another one may go on with the
    task. What a user has asked for outlives it. What the clean run leaves behind too is a habit of the agent, and none
    of the cancel. A run in which nothing was cancelled holds; one whose agent has not come to an end is not judged.
    """
    asked = next(evidence.of(CancelAsked), None)
    if asked is None:
        return []
    left = [event for event in evidence.of(AgentLeft) if event.seq > asked.seq]
    if not left:
        return None
    return [*_effects(evidence, asked), *_survivors(evidence, left[-1])]


def _effects(evidence: Evidence, asked: CancelAsked) -> Iterator[Violation]:
    contracts = contracts_of(evidence.events)
    undo = {row["compensation"] for row in contracts.values() if row.get("compensation")}
    if evidence.baseline is not None:
        usual = {event.tool for event in evidence.baseline if isinstance(event, ToolCalled)}
    else:
        usual = {event.tool for event in evidence.of(ToolCalled)}
    committed = {event.site for event in evidence.of(EffectCommitted)}
    deaths = [event.seq for event in evidence.of(Died) if event.seq > asked.seq and asked.by == "disconnect"]
    until = min(deaths, default=evidence.events[-1].seq + 1)
    new = [
        event
        for event in evidence.of(ToolCalled)
        if asked.seq < event.seq < until and event.site in committed and event.tool in usual - undo
    ]
    for event in new[1 if asked.by == "request" else 0 :]:
        headline = f"{say(event.tool, event.arguments)} was begun after the task had been cancelled"
        line = f"cancelled at {asked.site}, {asked.t_s:g} s; called at {event.site}, {event.t_s:g} s"
        yield Violation(ID, NAME, headline, (line,))


def _survivors(evidence: Evidence, left: AgentLeft) -> Iterator[Violation]:
    habits = [event for event in evidence.baseline or () if isinstance(event, AgentLeft)]
    for kind, word in _KINDS.items():
        usual = Counter(name for event in habits for name in getattr(event, kind))
        for name in sorted((Counter(getattr(left, kind)) - usual).elements()):
            yield Violation(ID, NAME, f"the {word} {name} lives on after the task was cancelled")
