"""I9: only valid calls run."""

from __future__ import annotations

from pytest_agent.invariants.evidence import Evidence, Violation, asked_by, say, was_cut
from pytest_agent.trace import ToolCalled

ID, NAME = "I9", "only valid calls run"


def only_valid_calls_run(evidence: Evidence) -> list[Violation] | None:
    """I9. At invocation the tool is known, the arguments are valid under its contract, and the turn was complete.

    Needs a tool of the sandbox that was called; where none was, although the clean run calls one, it holds.
    """
    called = list(evidence.of(ToolCalled))
    if not called and not any(isinstance(event, ToolCalled) for event in evidence.baseline or ()):
        return None
    found = []
    for event in called:
        if event.problem is not None:
            headline = f"{say(event.tool, event.arguments)} was run and is not valid: {event.problem}"
            found.append(Violation(ID, NAME, headline, (f"{event.site}, {event.t_s:g} s",)))
            continue
        turn = asked_by(event, evidence.events)
        if turn is not None and was_cut(turn, evidence.events):
            headline = f"{say(event.tool, event.arguments)} was run from a turn that never ended"
            line = f"{turn.site}: {turn.delivered} of {turn.events} events, then {turn.end}"
            found.append(Violation(ID, NAME, headline, (line,)))
    return found
