"""Reserving: an attempt is counted before it is made, for a failed one counts too."""

from __future__ import annotations

from typing import Any

from agentfsm.budgets import Used, over, plus, plus_each
from agentfsm.compensation import due
from agentfsm.draft import Draft
from agentfsm.parts import Parts


def reserve(parts: Parts, draft: Draft, tool: str | None, *, steps: int, tokens: int = 0) -> str | None:
    """Count an attempt at a tool, or at the model (None); return the limit it would break.

    The way forward leaves room to undo what is done, and what this very attempt may do. `tokens` is what a request is
    thought to cost: it has to fit, and is counted once the reply is there.
    """
    used = _counted(parts, draft.task.budget_used, tool, steps)
    limit = _broken(parts, draft, used, tool, tokens)
    if limit is None:
        draft.task = draft.task.but(budget_used=used)
    return limit


def exceeded(parts: Parts, draft: Draft, tool: str | None) -> str | None:
    """Return the limit that another attempt at a tool, or at the model (None), would break."""
    return _broken(parts, draft, _counted(parts, draft.task.budget_used, tool, 0), tool, 0)


def count_undo(parts: Parts, draft: Draft, tool: str, *, steps: int) -> None:
    """Count an attempt at a compensation. No limit stops it: its attempts and its deadline bound it."""
    draft.task = draft.task.but(budget_used=_counted(parts, draft.task.budget_used, tool, steps))


def _broken(parts: Parts, draft: Draft, used: Used, tool: str | None, tokens: int) -> str | None:
    room = len(due(parts.workflow, draft.steps)) + (parts.workflow.undoing(tool) is not None)
    if room or tokens:
        used = plus(used, steps=room, tool_calls=room, tokens=tokens)
    return over(used, parts.limits)


def _counted(parts: Parts, used: Used, tool: str | None, steps: int) -> dict[str, Any]:
    if tool is None:
        return plus(used, steps=steps, model_calls=1)
    counted = plus(used, steps=steps, tool_calls=1)
    return plus_each(counted, "tools", tool) if tool in parts.limits.per_tool else counted
