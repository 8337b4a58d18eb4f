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
    return _line(steps, step)[-1]


def answered(steps: Sequence[Step], step: Step) -> bool:
    """Whether something that stands in for a step, at first or second hand, has succeeded."""
    good = (s for s in steps if s.stands_in_for is not None and s.status == "success")
    return any(step.step_id in {below.step_id for below in _line(steps, s)[1:]} for s in good)


def mapped(workflow: Workflow, steps: Sequence[Step], step: Step, output: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer of a step as that of the tool it stands in for; raise ContractViolation where it does not fit.

    The step itself keeps what its own tool answered.
    """
    line = _line(steps, step)
    contract = workflow.contract(line[-1].tool or "")
    if len(line) == 1 or contract is None:
        return output
    tried = sorted({s.step_id for s in steps if s.stands_in_for == line[-1].step_id})
    fallback = workflow.fallbacks.get(contract.name, ())[tried.index(line[-2].step_id) :][:1]
    if not fallback or not isinstance(fallback[0], OtherTool):
        return output
    try:
        return contract.check(fallback[0].answer(output))
    except (KeyError, TypeError, ValueError) as error:
        raise ContractViolation(f"its answer does not fit {contract.name}: {error!r}") from error


def _line(steps: Sequence[Step], step: Step) -> list[Step]:
    """Return a step, what it stands in for, and so on down to the root."""
    line = [step]
    while line[-1].stands_in_for is not None:
        line.append(next(s for s in reversed(steps) if s.step_id == line[-1].stands_in_for))
    return line
