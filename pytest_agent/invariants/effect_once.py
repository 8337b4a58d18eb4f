"""I1: no duplicate effect."""

from __future__ import annotations

from collections import defaultdict

from pytest_agent.invariants.evidence import Evidence, Violation, effects, operation, say
from pytest_agent.trace import EffectCommitted, ToolCalled

ID, NAME = "I1", "no duplicate effect"


def no_duplicate_effect(evidence: Evidence) -> list[Violation] | None:
    """I1. Per logical operation (tool and arguments) the ledger has at most one commit, over attempts and restarts.

    An operation that the clean run commits several times may be committed as often. The attempts of one logical call
    carry one idempotency key. Needs a tool declared with `effect=True` that was called; otherwise not judged.
    """
    called = [event for event in evidence.of(ToolCalled) if event.effect]
    if not called and not (evidence.baseline and effects(evidence.baseline)):
        return None
    allowed = effects(evidence.baseline or ())
    lines: dict[tuple[str, str], list[EffectCommitted]] = defaultdict(list)
    for event in evidence.of(EffectCommitted):
        lines[operation(event.tool, event.arguments)].append(event)
    found = []
    for (tool, arguments), commits in lines.items():
        if len(commits) > max(1, allowed[tool, arguments]):
            times = "twice" if len(commits) == 2 else f"{len(commits)} times"
            found.append(
                Violation(
                    ID,
                    NAME,
                    f"{say(tool, arguments)} committed {times}",
                    tuple(
                        f"ledger {commit.entry}: {say(tool, arguments)} key={commit.key or 'none'} "
                        f"at {commit.site}, {commit.t_s:g} s"
                        for commit in commits
                    ),
                )
            )
    return found + _changed_keys(called)


def _changed_keys(called: list[ToolCalled]) -> list[Violation]:
    attempts: dict[tuple[str, int], list[ToolCalled]] = defaultdict(list)
    for event in called:
        attempts[event.tool, event.call].append(event)
    found = []
    for (tool, call), events in attempts.items():
        keys = {event.key for event in events}
        if len(keys) > 1:
            found.append(
                Violation(
                    ID,
                    NAME,
                    f"the attempts of {tool}#{call} carried {len(keys)} different idempotency keys",
                    tuple(f"{event.site}: key={event.key or 'none'}, {event.t_s:g} s" for event in events),
                )
            )
    return found
