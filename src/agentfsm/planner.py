"""The planner: the model proposes, these pure functions decide what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentfsm.budgets import Limits
from agentfsm.contracts import digest
from agentfsm.conversation import latest
from agentfsm.errors import InvalidArguments
from agentfsm.records import Outcome, Step, Task
from agentfsm.states import Event
from agentfsm.turns import ToolCall, Turn
from agentfsm.waits import Wait
from agentfsm.workflow import Workflow

CORRECTABLE = frozenset({"invalid_input", "truncated"})
"""Codes of failed steps that the model is told about; every other failed step ends the task."""


@dataclass(frozen=True)
class AskModel:
    """Ask the model for its next turn."""


@dataclass(frozen=True)
class RunTool:
    """Run an allowed call whose arguments have been checked."""

    tool: str
    arguments: Mapping[str, Any]
    call_id: str


@dataclass(frozen=True)
class Refuse:
    """Answer a proposal, or a final text (`call_id` empty), with a reason instead of a result."""

    tool: str | None
    call_id: str
    code: str
    reason: str


@dataclass(frozen=True)
class Await:
    """Begin the wait that this stage declares; `answer` is the question, or what is known so far."""

    wait: Wait
    answer: str


@dataclass(frozen=True)
class End:
    """End the task."""

    event: Event
    outcome: Outcome
    cause: str | None = None
    answer: str = ""


Decision = AskModel | RunTool | Refuse | Await | End


def decide(workflow: Workflow, limits: Limits, task: Task, steps: Sequence[Step]) -> Decision:
    """Return what to do after these steps. Called again after every refusal, so each call gets its answer."""
    history = latest(steps)
    cause = _too_many_corrections(history, limits.corrections)
    if cause is not None:
        return End(Event.STEP_FAILED, "failed", cause)
    last = max((i for i, s in enumerate(history) if s.kind == "model"), default=None)
    if last is None or history[last].status == "failed":
        return AskModel()
    turn, since = Turn.model_validate(history[last].output_data), history[last + 1 :]
    answered = {step.call_id for step in since}
    for call in turn.calls:
        if call.id not in answered:
            return _check(workflow, limits, task, history, call)
    if since or turn.calls:
        return _ahead(workflow, task)
    return _final(workflow, task, history, turn.text)


def _ahead(workflow: Workflow, task: Task) -> AskModel | Await | End:
    abort = workflow.aborted_when(task.business_state)
    if abort is not None and not abort.explained:
        return End(Event.ABORTED, "failed", abort.cause, abort.answer)
    wait = workflow.stage(task.business_state).wait
    if wait is not None and wait.begins_when is not None and wait.begins_when(task.business_state):
        return Await(wait, wait.says)
    return AskModel()


def _check(
    workflow: Workflow, limits: Limits, task: Task, history: Sequence[Step], call: ToolCall
) -> RunTool | Refuse | End:
    refusal = workflow.refusal(task.business_state, call.name)
    contract = workflow.contract(call.name)
    if refusal is not None or contract is None:
        code, reason = refusal or ("unknown_tool", f"There is no tool {call.name!r}.")
        return Refuse(call.name, call.id, code, reason)
    try:
        arguments = contract.parse(call.arguments)
    except InvalidArguments as error:
        return Refuse(call.name, call.id, error.code, str(error))
    guard = workflow.guards.get(call.name)
    if guard is not None and (said := guard(task.business_state, arguments)) is not None:
        return Refuse(call.name, call.id, "guard", said)
    wanted = digest(arguments)
    same = sum(s.kind == "tool" and s.tool == call.name and s.input_hash == wanted for s in history)
    if same >= limits.same_call:
        return End(Event.LIMIT_REACHED, "limit", "limit_same_call")
    return RunTool(call.name, arguments, call.id)


def _final(workflow: Workflow, task: Task, history: Sequence[Step], text: str) -> Refuse | Await | End:
    if not text.strip():
        return Refuse(None, "", "empty_turn", "Your reply was empty. Call a tool or answer the user.")
    if not open_effects(history):
        if workflow.done_when(task.business_state):
            return End(Event.ANSWER_ACCEPTED, "success", None, text)
        if workflow.partial_when(task.business_state):
            return End(Event.ANSWER_ACCEPTED, "partial", None, text)
        abort = workflow.aborted_when(task.business_state)
        if abort is not None:
            return End(Event.ABORTED, "failed", abort.cause, text)
        wait = workflow.stage(task.business_state).wait
        if wait is not None and wait.begins_when is None:
            return Await(wait, text)
    return Refuse(None, "", "not_done", f"The task is not done. It is done when: {workflow.goal}")


def open_effects(history: Sequence[Step]) -> list[Step]:
    """Return the failed steps with an effect that no later success of the same tool has made good."""
    return [
        step
        for i, step in enumerate(history)
        if step.kind == "tool"
        and step.status == "failed"
        and step.effect_class != "pure"
        and not any(s.tool == step.tool and s.status == "success" for s in history[i + 1 :])
    ]


def _too_many_corrections(history: Sequence[Step], allowed: int) -> str | None:
    """Return the code of the turn that is one correction too many in a row, or None."""
    streak, counted = 0, False
    for step in history:
        if step.kind == "model":
            counted = False
        if step.kind in {"tool", "event"} and step.status == "success":
            streak = 0
        elif (step.kind == "refusal" or step.error_code in CORRECTABLE) and not counted:
            streak, counted = streak + 1, True
            if streak > allowed:
                return step.error_code
    return None
