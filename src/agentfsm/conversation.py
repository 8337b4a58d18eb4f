"""The conversation, rebuilt from the steps alone: what is not in durable history was never said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentfsm.contracts import canonical
from agentfsm.prompts import Prompt
from agentfsm.records import Step, Task
from agentfsm.schemas import spoken
from agentfsm.standing_in import mapped, root_of
from agentfsm.turns import Message, ModelRequest, ToolCall, Turn
from agentfsm.workflow import Workflow


def latest(steps: Sequence[Step]) -> list[Step]:
    """Return the last attempt of every step, in order."""
    return list({step.step_id: step for step in steps}.values())


def build(workflow: Workflow, task: Task, steps: Sequence[Step], key: str) -> ModelRequest:
    """Return the request that follows these steps; the same steps give the same bytes."""
    messages = [Message(role="system", text=prompt_of(workflow, task).text), Message(role="user", text=task.text)]
    history = [step for step in latest(steps) if step.status != "pending"]
    # A call that fell back has one answer, the last.
    answers = {_place(history, step): step.step_id for step in history if step.call_id or step.kind == "tool"}
    for step in history:
        if step.kind == "model" and step.status == "success":
            turn = Turn.model_validate(step.output_data)
            messages.append(Message(role="assistant", text=turn.text, calls=turn.calls, opaque=turn.opaque))
        elif step.kind == "event":
            if "text" in step.output_data:  # an approval is between a call and its result: nothing may stand there
                messages.append(Message(role="user", text=str(step.output_data["text"])))
        elif step.call_id or step.kind == "tool":
            if step.step_id == answers[_place(history, step)]:
                messages.append(_told(workflow, history, step))
        else:
            messages.append(Message(role="user", text=str(step.output_data["reason"])))
    schema = workflow.answer_schema
    return ModelRequest(
        key=key,
        messages=tuple(messages),
        answer=None if schema is None else spoken(schema),
        tools=tuple(contract.offer() for contract in workflow.offers(task.business_state)),
    )


def prompt_of(workflow: Workflow, task: Task) -> Prompt:
    """Return the prompt of the stage's role, or of the workflow."""
    role = workflow.stage(task.business_state).role
    return workflow.roles[role].prompt if role is not None else workflow.main_prompt


def _place(history: Sequence[Step], step: Step) -> str | int:
    """Return what a step is an answer to: a call of the model, or a call of the orchestrator's own."""
    return step.call_id or root_of(history, step).step_id


def _told(workflow: Workflow, history: Sequence[Step], step: Step) -> Message:
    """Tell the result of a call: as the answer to the model's own, or in words where the orchestrator made it."""
    output = mapped(workflow, history, step, step.output_data) if step.status == "success" else step.output_data
    if step.call_id:
        return Message(role="tool", text=canonical(output), call_id=step.call_id)
    root = root_of(history, step)
    return Message(
        role="user", text=f"{root.tool} was called with {canonical(root.input_data)}. Result: {canonical(output)}"
    )


def canonical_calls(workflow: Workflow, turn: Turn, step_id: int, taken: Iterable[str]) -> Turn:
    """Give every call its tool's own name and an id of its own; a call that was delivered twice is kept once.

    Blank ids, and ids used before for another call, are replaced by `call_<step>_<place>`.
    """
    seen: dict[str, ToolCall] = {}
    used = set(taken)
    calls = []
    for place, call in enumerate(turn.calls):
        if call.id and seen.get(call.id) == call:
            continue
        if call.id:
            seen.setdefault(call.id, call)
        if not call.id.strip() or call.id in used:
            call = call.model_copy(update={"id": f"call_{step_id}_{place}"})
        used.add(call.id)
        calls.append(call.model_copy(update={"name": workflow.meant(call.name)}))
    return turn.model_copy(update={"calls": tuple(calls)})
