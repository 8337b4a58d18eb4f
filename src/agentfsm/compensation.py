"""Compensation: which committed effects are still to be undone, and the step that undoes one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agentfsm.contracts import ToolContract, canonical, digest
from agentfsm.conversation import latest
from agentfsm.draft import Draft
from agentfsm.records import Step
from agentfsm.workflow import Workflow


def due(workflow: Workflow, steps: Sequence[Step]) -> list[tuple[Step, ToolContract]]:
    """Return the committed effects nobody has tried to undo, the latest first, each with what undoes it."""
    if not workflow.compensations:
        return []
    history = latest(steps)
    tried = {step.undoes for step in history if step.kind == "undo"}
    return [
        (step, contract)
        for step in reversed(history)
        if step.kind == "tool"
        and step.status == "success"
        and step.effect_class != "pure"
        and step.step_id not in tried
        and (contract := workflow.undoing(step.tool)) is not None
    ]


def undo_step(workflow: Workflow, draft: Draft, step: Step, contract: ToolContract) -> Step:
    """Return the first attempt at undoing a step; its key is its own, not that of the step."""
    given = workflow.compensations[step.tool or ""](step.input_data, step.output_data)
    arguments = contract.parse(canonical(dict(given)))
    undo = draft.new("undo", digest(arguments), tool=contract.name, input_data=arguments, undoes=step.step_id)
    return undo.but(effect_class=contract.effect.value, tool_version=contract.version)
