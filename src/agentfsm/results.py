"""The claim a task makes at its end, computed from what is durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentfsm.conversation import latest
from agentfsm.errors import AgentError
from agentfsm.records import IN_DOUBT, Step, Task, TaskResult
from agentfsm.workflow import Workflow

DOUBTFUL = frozenset({IN_DOUBT, "contract_violation", "tool_crashed"})
"""Codes of attempts after which an effect may have happened although no success was seen."""


def in_doubt(steps: Sequence[Step], step: Step) -> bool:
    """Whether an attempt of this step, which has not succeeded, may have had an effect all the same."""
    tries = [s for s in steps if s.step_id == step.step_id]
    return step.effect_class != "pure" and any(s.error_code in DOUBTFUL for s in tries)


def claim(workflow: Workflow, task: Task, steps: Sequence[Step]) -> TaskResult:
    """Return what may honestly be said of a task that has stopped."""
    if task.outcome is None:
        raise AgentError(f"task {task.request_id!r} is still running", code="still_running")
    done: list[dict[str, Any]] = []
    not_done: list[dict[str, Any]] = []
    unknown: list[dict[str, Any]] = []
    good = task.outcome in {"success", "partial"}
    for step in latest(steps):
        if step.kind != "tool":
            continue
        entry = {"tool": step.tool, "key": step.key, "effect_class": step.effect_class}
        if step.status == "success":
            done.append(entry)
        elif in_doubt(steps, step):
            unknown.append({**entry, "error_code": step.error_code})
        elif not good:
            not_done.append({**entry, "error_code": step.error_code})
    if not good and not workflow.done_when(task.business_state) and not unknown:
        not_done.append({"goal": workflow.goal})
    return TaskResult(task.request_id, task.outcome, task.cause, task.answer, task.fsm_state, done, not_done, unknown)
