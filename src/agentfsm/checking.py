"""Checking: whether a call may run here and now, whoever wants it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agentfsm.budgets import Limits
from agentfsm.contracts import digest
from agentfsm.decisions import Approve, End, Off, Refuse, RunTool, Wanted
from agentfsm.errors import InvalidArguments
from agentfsm.records import Step, Task
from agentfsm.stages import Arguments
from agentfsm.states import Event
from agentfsm.waits import Business
from agentfsm.workflow import Workflow


def check(
    workflow: Workflow,
    limits: Limits,
    off: Off,
    task: Task,
    history: Sequence[Step],
    call: Wanted,
    beside: Sequence[RunTool] = (),
) -> RunTool | Refuse | Approve | End:
    """Return whether a call may run here and now, whoever wants it, `beside` others that are to run at once."""
    business = task.business_state
    refusal = workflow.refusal(business, call.name)
    contract = workflow.contract(call.name)
    if refusal is not None or contract is None:
        code, reason = refusal or ("unknown_tool", f"There is no tool {call.name!r}.")
        return Refuse(call.name, call.id, code, reason)
    if (why := off(contract)) is not None:
        return Refuse(call.name, call.id, "tool_disabled", why)
    try:
        arguments = contract.parse(call.arguments)
    except InvalidArguments as error:
        return Refuse(call.name, call.id, error.code, str(error))
    if (no := forbidden(workflow, call.name, arguments, business)) is not None:
        return Refuse(call.name, call.id, *no)
    wanted = digest(arguments)
    same = sum(one.hash == wanted and one.tool == call.name for one in beside)
    same += sum(s.input_hash == wanted and s.tool == call.name and _asked_for(s) for s in history)
    if same >= limits.same_call:
        return End(Event.LIMIT_REACHED, "limit", "limit_same_call")
    run = RunTool(call.name, arguments, call.id, wanted)
    if contract.needs_approval and task.mode == "live":
        return _approved(history, run, same)
    return run


def forbidden(workflow: Workflow, tool: str, arguments: Arguments, business: Business) -> tuple[str, str] | None:
    """Return `(code, reason)` where the workflow never does this, or its guard has something against it now."""
    for never in workflow.never:
        if never.forbids(tool, arguments, business):
            return "never", f"This is never done: {never.name}."
    guard = workflow.guards.get(tool)
    said = None if guard is None else guard(business, arguments)
    return None if said is None else ("guard", said)


def _asked_for(step: Step) -> bool:
    return step.kind == "tool" and step.stands_in_for is None


def _approved(history: Sequence[Step], run: RunTool, same: int) -> RunTool | Refuse | Approve:
    wanted = digest([run.tool, dict(run.arguments), same])
    given = next((s.output_data for s in history if s.kind == "event" and s.output_data.get("call") == wanted), None)
    if given is None:
        return Approve(wanted, run)
    if given["verdict"] == "granted":
        return run
    why = f": {given['reason']}" if given.get("reason") else ""
    return Refuse(run.tool, run.call_id, f"approval_{given['verdict']}", f"The approval was {given['verdict']}{why}.")
