"""The planner: the model proposes, these pure functions decide what happens next."""

from __future__ import annotations

from collections.abc import Sequence

from agentfsm.budgets import Limits
from agentfsm.checking import check
from agentfsm.contracts import Effect, compact
from agentfsm.conversation import latest
from agentfsm.decisions import CORRECTABLE, AskModel, Await, Decision, End, Off, OwnCall, Refuse, RunTool, RunTools
from agentfsm.errors import InvalidArguments
from agentfsm.models.structured import check_answer
from agentfsm.records import Outcome, Step, Task
from agentfsm.standing_in import answered, root_of
from agentfsm.states import Event
from agentfsm.turns import ToolCall, Turn
from agentfsm.workflow import Workflow


def decide(workflow: Workflow, limits: Limits, off: Off, task: Task, steps: Sequence[Step]) -> Decision:
    """Return what to do after these steps. Called again after every refusal, so each call gets its answer."""
    history = latest(steps)
    cause = _too_many_corrections(history, limits.corrections)
    if cause is not None:
        return End(Event.STEP_FAILED, "failed", cause)
    if task.budget_used.get("idle", 0) > limits.no_progress:
        return End(Event.LIMIT_REACHED, "limit", "limit_no_progress")
    stage = workflow.stage(task.business_state)
    bounded = stage.visits is not None and workflow.aborted_when(task.business_state) is None
    if bounded and task.budget_used.get("visits", {}).get(stage.name, 0) > (stage.visits or 0):
        return End(Event.LIMIT_REACHED, "limit", "limit_visits")
    last = max((i for i, s in enumerate(history) if s.kind == "model"), default=None)
    if last is None:
        return _ahead(workflow, limits, off, task, history)
    if history[last].status != "success":
        return AskModel()
    turn, since = Turn.model_validate(history[last].output_data), history[last + 1 :]
    heard = {step.call_id for step in since}
    waiting = [call for call in turn.calls if call.id not in heard]
    if waiting:
        return _proposed(workflow, limits, off, task, history, waiting)
    if since or turn.calls:
        return _ahead(workflow, limits, off, task, history)
    return _final(workflow, task, history, turn.text)


def _ahead(workflow: Workflow, limits: Limits, off: Off, task: Task, history: Sequence[Step]) -> Decision:
    """Return what follows where no call of the model is open: an end, a wait, calls of our own, or the model."""
    business = task.business_state
    abort = workflow.aborted_when(business)
    if abort is not None and not abort.explained:
        return End(Event.ABORTED, "failed", abort.cause, abort.answer)
    if abort is None and workflow.answers is not None and workflow.done_when(business) and not open_effects(history):
        return End(Event.ANSWER_ACCEPTED, "success", None, workflow.answers(business))
    stage = workflow.stage(business)
    if stage.wait is not None and stage.wait.begins_when is not None and stage.wait.begins_when(business):
        return Await(stage.wait, stage.wait.says)
    wanted = stage.calls(business) if abort is None and stage.calls is not None else ()
    if not wanted:
        return AskModel()
    group: list[RunTool] = []
    for tool, arguments in wanted[: limits.parallel]:
        call = OwnCall(tool, compact(dict(arguments)))
        checked = check(workflow, limits, off, task, history, call, group)
        if isinstance(checked, Refuse):
            return End(Event.STEP_FAILED, "failed", checked.code, checked.reason)
        if not isinstance(checked, RunTool):
            return checked
        group.append(checked)
    return RunTools(tuple(group))


def _proposed(
    workflow: Workflow,
    limits: Limits,
    off: Off,
    task: Task,
    history: Sequence[Step],
    waiting: Sequence[ToolCall],
) -> Decision:
    """Return what becomes of the first open call of a turn, and of the pure ones that may run beside it."""
    first = check(workflow, limits, off, task, history, waiting[0])
    if not isinstance(first, RunTool):
        return first
    group = [first]
    if workflow.stage(task.business_state).parallel and _pure(workflow, first):
        for call in waiting[1 : limits.parallel]:
            other = check(workflow, limits, off, task, history, call)
            same = isinstance(other, RunTool) and any(
                (other.tool, other.arguments) == (one.tool, one.arguments) for one in group
            )
            if not isinstance(other, RunTool) or same or not _pure(workflow, other):
                break
            group.append(other)
    return RunTools(tuple(group))


def _pure(workflow: Workflow, call: RunTool) -> bool:
    contract = workflow.contract(call.tool)
    return contract is not None and contract.effect is Effect.PURE


def _final(workflow: Workflow, task: Task, history: Sequence[Step], text: str) -> Refuse | Await | End:
    if not text.strip():
        return Refuse(None, "", "empty_turn", "Your reply was empty. Call a tool or answer the user.")
    if not open_effects(history):
        if workflow.done_when(task.business_state):
            return _accepted(workflow, text, "success")
        if workflow.partial_when(task.business_state):
            return _accepted(workflow, text, "partial")
        abort = workflow.aborted_when(task.business_state)
        if abort is not None:
            return End(Event.ABORTED, "failed", abort.cause, text)
        wait = workflow.stage(task.business_state).wait
        if wait is not None and wait.begins_when is None:
            return Await(wait, text)
    return Refuse(None, "", "not_done", f"The task is not done. It is done when: {workflow.goal}")


def _accepted(workflow: Workflow, text: str, outcome: Outcome) -> Refuse | End:
    if workflow.answer_schema is not None:
        try:
            check_answer(workflow.answer_schema, text)
        except InvalidArguments as error:
            return Refuse(None, "", "invalid_answer", str(error))
    return End(Event.ANSWER_ACCEPTED, outcome, None, text)


def open_effects(history: Sequence[Step]) -> list[Step]:
    """Return the failed steps with an effect that no later success of the same tool has made good."""
    return [
        step
        for i, step in enumerate(history)
        if step.kind == "tool"
        and step.status in {"failed", "in_doubt"}
        and step.effect_class != "pure"
        and not any(s.status == "success" and s.tool == step.tool for s in history[i + 1 :])
        and not answered(history, root_of(history, step))
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
