"""Waiting: how a declared wait begins, and the two ways it ends. Decides, and does no I/O."""

from __future__ import annotations

from dataclasses import replace

from agentfsm.draft import Draft
from agentfsm.ending import conclude
from agentfsm.errors import AgentError
from agentfsm.inbox import note
from agentfsm.parts import Parts
from agentfsm.records import Inbound, Task
from agentfsm.states import Event
from agentfsm.waits import Wait


def begin(draft: Draft, wait: Wait, answer: str) -> None:
    """Stop here until an event comes; `answer` is what the user is told meanwhile."""
    until = draft.now + wait.timeout_s
    draft.fire(Event.EXTERNAL_NEEDED, outcome="partial", cause=wait.cause, answer=answer, wait_until=until)
    draft.note("waiting", cause=wait.cause, source=wait.source, kinds=sorted(wait.kinds), until=until)
    draft.say(f"{draft.task.fsm_state.value} {wait.cause}")


def receive(parts: Parts, draft: Draft, event: Inbound) -> None:
    """End the wait with an event that was judged to fit."""
    workflow, wait = parts.workflow, _wait(parts, draft.task)
    payload = wait.parse(event.payload) or {}
    draft.receive(event, wait.tell(event.kind, payload))
    draft.audit(note(event, "applied"))
    business = wait.fold(draft.task.business_state, event.kind, payload)
    _leave(draft, wait, Event.CALLBACK_RECEIVED)
    draft.task = replace(draft.task, business_state=business, current_step=workflow.stage(business).name)


def expire(parts: Parts, draft: Draft) -> None:
    """End the wait because its time is over, and the task with it."""
    wait = _wait(parts, draft.task)
    _leave(draft, wait, Event.WAIT_EXPIRED)
    conclude(parts, draft, Event.TIMEOUT, "failed", wait.timeout_cause, wait.timeout_says)


def _leave(draft: Draft, wait: Wait, event: Event) -> None:
    began = (draft.task.wait_until or draft.now) - wait.timeout_s
    waited = draft.task.waited_s + max(0.0, draft.now - began)
    draft.fire(event, outcome=None, cause=None, answer="", wait_until=None, waited_s=waited)


def _wait(parts: Parts, task: Task) -> Wait:
    wait = parts.workflow.stage(task.business_state).wait
    if wait is None:
        raise AgentError(f"task {task.request_id!r} is in no declared wait", code="corrupt_history")
    return wait
