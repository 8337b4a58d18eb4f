"""Where a stream or a process can be interrupted."""

from __future__ import annotations

from typing import TypeVar

from pytest_agent.faults.effect import Facts, LlmEffect, Moment

EffectT = TypeVar("EffectT", bound=LlmEffect)


def at_boundaries(effect: EffectT, facts: Facts, sweep: object) -> list[EffectT]:
    """The effect at its own `after`, or at each boundary before the terminal event; none for a plain reply.

    The last of them has delivered everything but the terminal event: the whole text, and no word that it is whole.
    """
    if not facts.get("streamed") or not facts.get("terminal_at"):
        return []
    if "after" in (sweep if isinstance(sweep, (list, tuple)) else ()):
        return [effect.with_params(after=after) for after in range(facts["terminal_at"] + 1)]
    return [effect]


def process_moment(when: Moment, facts: Facts) -> bool:
    """Whether a process that is started again after its death passes this moment at a site with these facts."""
    if not facts.get("restartable"):
        return False
    if when == "written":
        return facts.get("phase") == "after" and bool(facts.get("file"))
    if when == "answered":
        return bool(facts.get("answered"))
    return when in moments(facts)


def moments(facts: Facts) -> list[Moment]:
    """The moments at a site at which something can be done around the process, whether or not it can be restarted."""
    if "last" in facts:
        return ["commit"]
    if "answered" in facts:
        return ["asked", "answered"]
    if "effect" in facts:
        return ["before-call", "after-effect"] if facts["effect"] else ["before-call"]
    return []
