"""I5: attempts bounded."""

from __future__ import annotations

from collections import defaultdict

from pytest_agent.invariants.evidence import Evidence, Violation
from pytest_agent.invariants.lives import described
from pytest_agent.trace import ModelRequested, ToolCalled, ToolReplied

ID, NAME = "I5", "attempts bounded"
MOST_ATTEMPTS = 5


def attempts_bounded(evidence: Evidence) -> list[Violation] | None:
    """I5. One logical call makes at most `MOST_ATTEMPTS` attempts, over all layers that retry.

    Counted where they arrive: wire requests to a model, and calls of a tool until it answers; what an agent asks once
    more after an answer is polling. An agent that describes a limit of `attempts` is held to that instead. Needs a
    model that was asked or a tool that was called; otherwise not judged.
    """
    tries: dict[str, list[ModelRequested | ToolCalled]] = defaultdict(list)
    answered: set[str] = set()
    for event in evidence.events:
        if isinstance(event, (ModelRequested, ToolCalled)):
            name = event.site.partition("/")[0]
            if name not in answered:
                tries[name].append(event)
        elif isinstance(event, ToolReplied) and event.status == "ok":
            answered.add(event.site.partition("/")[0])
    if not tries:
        return None
    most = _limit(evidence)
    return [
        Violation(
            ID,
            NAME,
            f"{name} made {len(events)} {_word(events[0])}; at most {most} are allowed over all layers",
            tuple(f"{event.site}: {event.t_s:g} s" for event in events),
        )
        for name, events in tries.items()
        if len(events) > most
    ]


def _limit(evidence: Evidence) -> int:
    own = (described(evidence.events, "limits") or {}).get("attempts")
    return own if isinstance(own, int) and not isinstance(own, bool) else MOST_ATTEMPTS


def _word(event: ModelRequested | ToolCalled) -> str:
    return "wire requests" if isinstance(event, ModelRequested) else "attempts"
