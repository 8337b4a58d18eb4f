"""Standing in: a step that answers in place of another one, and what its answer means there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentfsm.errors import ContractViolation
from agentfsm.fallbacks import OtherTool
from agentfsm.records import Step
from agentfsm.workflow import Workflow


def root_of(steps: Sequence[Step], step: Step) -> Step:
    """Return the step that this one stands in for in the end, or itself."""
    while step.stands_in_for is not None:
        step = next(s for s in reversed(steps) if s.step_id == step.stands_in_for)
    return step


def answered(steps: Sequence[Step], step: Step) -> bool:
    """Whether something that stands in for a step, at first or second hand, has succeeded."""
    for other in steps:
        if other.stands_in_for is None or other.status != "success":
            continue
        while other.stands_in_for is not None:
            if other.stands_in_for == step.step_id:
                return True
            other = next(s for s in reversed(steps) if s.step_id == other.stands_in_for)
    return False


def mapped(workflow: Workflow, steps: Sequence[Step], step: Step, output: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer of a step as that of the tool it stands in for; raise ContractViolation where it does not fit.

    The step itself keeps what its own tool answered.
    """
    root = root_of(steps, step)
    contract = workflow.contract(root.tool or "")
    if contract is None or step.tool == root.tool:
        return output
    for fallback in workflow.fallbacks.get(contract.name, ()):
        if isinstance(fallback, OtherTool) and fallback.tool == step.tool:
            try:
                return contract.check(fallback.answer(output))
            except (KeyError, TypeError, ValueError) as error:
                raise ContractViolation(f"its answer does not fit {contract.name}: {error!r}") from error
    return output
