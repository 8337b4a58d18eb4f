"""The inbox: what becomes of an event that arrives for a task. Decides, and does no I/O."""

from __future__ import annotations

from typing import Any

from agentfsm.asking import ANSWERED, CONFIRMED, asks_for, payload_of, refusal
from agentfsm.contracts import canonical
from agentfsm.errors import ContractViolation, InvalidEvent
from agentfsm.records import Commit, Inbound, Task
from agentfsm.states import TERMINAL, State
from agentfsm.waits import EARLY
from agentfsm.workflow import Workflow

OWN_SOURCES = frozenset({"model", "runtime", "tool"})
"""The sources of the runtime's own events, which nobody outside may use."""

UNKNOWN_TASK = "unknown_task"
"""The reason of an event that came before its task; a later delivery is judged anew."""


def inbound(source: str, event_id: str, kind: str, payload: object) -> Inbound:
    """Return the event; raise InvalidEvent where it cannot be told apart from others, or stored."""
    if not source.strip() or not event_id.strip() or not kind.strip():
        raise InvalidEvent(f"an event needs source, event_id and kind; got {source!r}, {event_id!r}, {kind!r}")
    if source in OWN_SOURCES:
        raise InvalidEvent(f"source {source!r} is the runtime's own; name the system that sent the event")
    try:
        canonical([source, event_id, kind, payload]).encode()
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"event {event_id!r} is no plain JSON: {error}") from error
    return Inbound(source, event_id, kind, payload)


def judge(workflow: Workflow, task: Task | None, event: Inbound, now: float) -> str | None:
    """Return None where the event ends the task's wait, EARLY where its wait has not begun, else why not."""
    if task is None:
        return UNKNOWN_TASK
    if task.fsm_state in TERMINAL:
        return "finished"
    if asks_for(event.source, event.kind):
        return _answer(workflow, task, event, now)
    stages = [s for s in workflow.stages if s.wait and s.wait.accepts(event.source, event.kind)]
    if not stages:
        return "unknown_kind"
    ahead = [s for s in stages if not s.left_when(task.business_state)]
    if task.ending is not None or not ahead:
        return "late"
    waiting = task.fsm_state is State.WAITING_EXTERNAL and task.wait_until is not None and task.asked is None
    stage = workflow.stage(task.business_state)
    if not waiting or stage.wait is None or stage not in ahead:
        return EARLY
    if task.wait_until is not None and now >= task.wait_until:
        return "late"
    payload = stage.wait.parse(event.payload)
    return "invalid_payload" if payload is None else stage.wait.refuse(task.business_state, payload)


def _answer(workflow: Workflow, task: Task, event: Inbound, now: float) -> str | None:
    """Return None where the event answers what the task asks a person for, else why not."""
    why = refusal(task, event)
    if why is not None or task.asked is None:
        return why
    if task.wait_until is not None and now >= task.wait_until:
        return "late"
    payload = payload_of(task, event) or {}
    contract = workflow.contract(task.asked["tool"])
    if event.kind in {ANSWERED, CONFIRMED} and contract is not None:
        try:
            contract.check(payload["output"])
        except ContractViolation:
            return "invalid_payload"
    return None


def filed(task: Task, event: Inbound, status: str, reason: str, now: float) -> Commit:
    """Return the commit that keeps an event which moves nothing now: `held`, or `ignored` with a reason."""
    told = f"event {event.source}/{event.event_id} {status} {reason}"
    kept = Inbound(event.source, event.event_id, event.kind, event.payload, reason)
    return Commit(label=told, task=task, at=now, event=kept, audit=(note(event, status, reason),), moves=False)


def repeated(task: Task, event: Inbound, now: float) -> Commit:
    """Return the commit that notes another delivery of an event that is stored already."""
    told = f"event {event.source}/{event.event_id} duplicate"
    return Commit(label=told, task=task, at=now, audit=(note(event, "duplicate"),), moves=False)


def note(event: Inbound, status: str, reason: str | None = None) -> dict[str, Any]:
    """Return the audit row of an event: `applied`, `held`, `ignored` or `duplicate`. Its payload stays out."""
    facts = {"source": event.source, "event_id": event.event_id, "event": event.kind, "reason": reason}
    return {"kind": "event", "status": status, **facts}
