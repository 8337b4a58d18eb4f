"""I9: only valid calls run."""

from __future__ import annotations

from pytest_agent.invariants.evidence import Evidence, Violation, say
from pytest_agent.trace import ModelReplied, ToolCalled

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
        turn = next(
            (reply for reply in reversed(list(evidence.of(ModelReplied))) if reply.seq < event.seq and reply.calls),
            None,
        )
        if (
            turn is not None
            and turn.end != "complete"
            and _plain(event.tool) in {_plain(c["name"]) for c in turn.calls}
        ):
            headline = f"{say(event.tool, event.arguments)} was run from a turn that never ended"
            line = f"{turn.site}: {turn.delivered} of {turn.events} events, then {turn.end}"
            found.append(Violation(ID, NAME, headline, (line,)))
    return found


def _plain(name: str) -> str:
    # On some wires a tool's name is written without its dots.
    return "".join(letter for letter in name if letter.isalnum())
