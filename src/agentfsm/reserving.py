"""Reserving: an attempt is counted before it is made, for a failed one counts too."""

from __future__ import annotations

from dataclasses import asdict, replace

from agentfsm.budgets import Meter
from agentfsm.compensation import due
from agentfsm.draft import Draft
from agentfsm.parts import Parts


def reserve(parts: Parts, draft: Draft, tool: str | None, *, steps: int) -> str | None:
    """Count an attempt at a tool, or at the model (None); return the limit it would break.

    The way forward leaves room to undo what is done, and what this very attempt may do.
    """
    room = len(due(parts.workflow, draft.steps)) + (parts.workflow.undoing(tool) is not None)
    meter = _counted(draft, tool, steps)
    limit = meter.plus(steps=room, tool_calls=room).over(parts.limits)
    if limit is None:
        draft.task = replace(draft.task, budget_used=asdict(meter))
    return limit


def count_undo(draft: Draft, tool: str, *, steps: int) -> None:
    """Count an attempt at a compensation. No limit stops it: its attempts and its deadline bound it."""
    draft.task = replace(draft.task, budget_used=asdict(_counted(draft, tool, steps)))


def _counted(draft: Draft, tool: str | None, steps: int) -> Meter:
    calls = {"tool_calls": 1} if tool else {"model_calls": 1}
    return Meter.of(draft.task.budget_used).plus(steps=steps, **calls)
