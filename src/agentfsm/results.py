"""The claim a task makes at its end, computed from what is durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentfsm.conversation import latest
from agentfsm.records import Step, Task, TaskResult
from agentfsm.states import State
from agentfsm.workflow import Workflow

DOUBTFUL = frozenset({"contract_violation", "tool_crashed"})
"""Codes of failed attempts after which an effect may have happened although no success was seen."""


def in_doubt(steps: Sequence[Step], step: Step) -> bool:
    """Whether an attempt of this step, which has not succeeded, may have had an effect all the same."""
    denied = (s.output_data["attempt"] for s in steps if s.kind == "event" and s.output_data.get("denied") == step.key)
    settled = max(denied, default=0)  # a person has looked: up to this attempt nothing happened
    tries = [s for s in steps if s.step_id == step.step_id and s.attempt > settled]
    return step.effect_class != "pure" and any(s.status == "in_doubt" or s.error_code in DOUBTFUL for s in tries)


def _key(steps: Sequence[Step], step: Step) -> str:
    """Return the key under which it happened: what a person tells of a step is told of the step's own key."""
    for other in steps:
        if other.step_id == step.stands_in_for:
            same = (other.tool, other.input_hash) == (step.tool, step.input_hash)
            return other.key if same else step.key
    return step.key


def claim(workflow: Workflow | None, task: Task, steps: Sequence[Step]) -> TaskResult:
    """Return what may honestly be said of a task, also of one that waits or is still under way.

    Without the workflow nothing is said of the goal as a whole.
    """
    outcome, cause = (task.outcome, task.cause) if task.outcome else ("partial", "running")
    done: list[dict[str, Any]] = []
    not_done: list[dict[str, Any]] = []
    unknown: list[dict[str, Any]] = []
    good = task.fsm_state is State.DONE
    made_good = {s.stands_in_for for s in steps if s.status == "success"}
    undone = {s.undoes: _key(steps, s) for s in steps if s.kind == "undo" and s.status == "success"}
    for step in latest(steps):
        if step.kind not in {"tool", "undo"} or (step.status != "success" and step.step_id in made_good):
            continue
        if step.stands_in_for is not None and step.status != "success" and not in_doubt(steps, step):
            continue
        entry = {"tool": step.tool, "key": _key(steps, step), "effect_class": step.effect_class}
        if step.kind == "undo":
            entry["compensates"] = f"{step.request_id}:{step.undoes}"
        if step.step_id in undone:
            entry["compensated_by"] = undone[step.step_id]
        if step.status == "success":
            done.append(entry)
        elif in_doubt(steps, step) or step.kind == "undo":
            unknown.append({**entry, "error_code": step.error_code})
        elif not good:
            not_done.append({**entry, "error_code": step.error_code})
    if workflow is not None and not good and not workflow.done_when(task.business_state) and not unknown:
        not_done.append({"goal": workflow.goal})
    return TaskResult(task.request_id, outcome, cause, task.answer, task.fsm_state, done, not_done, unknown)
