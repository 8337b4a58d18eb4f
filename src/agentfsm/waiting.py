"""Waiting: how a wait begins, and the ways it ends. Decides, and does no I/O."""

from __future__ import annotations

from typing import Any

from agentfsm.asking import ASKS, DENIED, GRANTED, payload_of
from agentfsm.contracts import digest
from agentfsm.decisions import Approve
from agentfsm.draft import Draft
from agentfsm.ending import compensated, conclude
from agentfsm.errors import AgentError
from agentfsm.inbox import note
from agentfsm.parts import Parts
from agentfsm.records import Inbound, Step, Task
from agentfsm.recovery import Deadline
from agentfsm.standing_in import mapped, root_of
from agentfsm.states import Event
from agentfsm.waits import Wait

HELD = "paused_by_operator"
"""The cause of a task that the kill switch holds back."""
HOLD_S = 5.0
"""Seconds after which a held task is looked at again."""
ASK_AGAIN_S = 60.0
"""Seconds after which a tool is asked again what became of an effect."""


def begin(draft: Draft, wait: Wait, answer: str) -> None:
    """Stop here until an event comes; `answer` is what the user is told meanwhile."""
    _wait_for(draft, wait.cause, answer, wait.timeout_s)
    until = draft.task.wait_until
    draft.note("waiting", cause=wait.cause, source=wait.source, kinds=sorted(wait.kinds), until=until)


def ask_approval(parts: Parts, draft: Draft, wanted: Approve) -> None:
    """Stop here until a person has approved the very call."""
    call = wanted.call
    asked = {
        "kind": "approval",
        "id": f"{draft.task.request_id}:approval:{_asked_so_far(draft) + 1}",
        "tool": call.tool,
        "arguments": dict(call.arguments),
        "call": wanted.hash,
    }
    _ask(draft, asked, f"{call.tool} needs an approval before it runs.", parts.approval_s)


def ask_person(draft: Draft, dead: Step, timeout_s: float) -> None:
    """Stop here until a person has given the answer that a tool cannot give."""
    asked = {"kind": "person", "id": dead.key, "tool": dead.tool, "arguments": dead.input_data, "step": dead.step_id}
    _ask(draft, asked, f"{dead.tool} cannot answer; a person has been asked.", timeout_s)


def ask_what_happened(parts: Parts, draft: Draft, step: Step, wall: Deadline) -> None:
    """Say what is in doubt, beside an end that is `unknown` so far, and when it is looked at again."""
    asked = {"kind": "doubt", "id": step.key, "tool": step.tool, "arguments": step.input_data, "step": step.step_id}
    left = wall.remaining()
    look = draft.now + (min(ASK_AGAIN_S, left) if parts.may_repeat(step.tool) else left)
    draft.task = draft.task.but(asked=asked, next_run_at=look)
    draft.note("asked", **{"what": "doubt", "id": step.key, "tool": step.tool})


def hold(draft: Draft) -> None:
    """Stop here until an operator lifts the kill switch; what is open and was not begun stays open."""
    draft.fire(Event.EXTERNAL_NEEDED, outcome="partial", cause=HELD, next_run_at=draft.now + HOLD_S)
    draft.say(f"{draft.task.fsm_state.value} {HELD}")


def look_later(draft: Draft, wall: Deadline) -> None:
    """Say when a task is looked at again that was looked at in vain."""
    task = draft.task
    if task.cause == HELD:
        changes = {"next_run_at": draft.now + HOLD_S, "waited_s": task.waited_s + held_s(draft)}
    elif task.wait_until is not None:
        changes = {"next_run_at": task.wait_until}
    else:
        changes = {"next_run_at": draft.now + max(wall.remaining(), HOLD_S)}
    draft.task = task.but(**changes)
    draft.note("looked", cause=task.cause)
    draft.say("look")


def held_s(draft: Draft) -> float:
    """Return for how long the kill switch has held the task since that was last added up."""
    return max(0.0, draft.now - ((draft.task.next_run_at or draft.now) - HOLD_S))


def receive(parts: Parts, draft: Draft, event: Inbound) -> Step | None:
    """End the wait with an event that was judged to fit; return a step that may be tried again because of it."""
    if draft.task.asked is not None:
        return _answered(parts, draft, event)
    workflow, wait = parts.workflow, _wait(parts, draft.task)
    payload = wait.parse(event.payload) or {}
    draft.receive(event, text=wait.tell(event.kind, payload))
    draft.audit(note(event, "applied"))
    business = wait.fold(draft.task.business_state, event.kind, payload)
    _leave(draft, Event.CALLBACK_RECEIVED, _since(draft.task, wait))
    draft.enter(workflow, business)
    return None


def expire(parts: Parts, draft: Draft) -> bool:
    """End the wait because its time is over; return whether the task goes on."""
    asked = draft.task.asked
    if asked is not None:
        _expired(draft, asked)
        return True
    wait = _wait(parts, draft.task)
    _leave(draft, Event.WAIT_EXPIRED, _since(draft.task, wait))
    if wait.expired is not None:
        draft.enter(parts.workflow, wait.expired(draft.task.business_state))
        return True
    conclude(parts, draft, Event.TIMEOUT, "failed", wait.timeout_cause, wait.timeout_says)
    return False


def _ask(draft: Draft, asked: dict[str, Any], answer: str, timeout_s: float) -> None:
    _wait_for(draft, ASKS[asked["kind"]].cause, answer, timeout_s)
    draft.task = draft.task.but(asked={**asked, "since": draft.now})
    draft.note("asked", what=asked["kind"], id=asked["id"], tool=asked["tool"], until=draft.task.wait_until)


def _wait_for(draft: Draft, cause: str, answer: str, timeout_s: float) -> None:
    until = draft.now + timeout_s
    draft.fire(
        Event.EXTERNAL_NEEDED,
        outcome="partial",
        cause=cause,
        answer=answer,
        wait_until=until,
        next_run_at=until,
    )
    draft.say(f"{draft.task.fsm_state.value} {cause}")


def _leave(draft: Draft, event: Event, since: float) -> None:
    """Go on; the clock of the task stood still since then."""
    rest = {"wait_until": None, "next_run_at": None, "asked": None}
    waited = draft.task.waited_s + max(0.0, draft.now - since)
    draft.fire(event, outcome=None, cause=None, answer="", waited_s=waited, **rest)


def _asked_so_far(draft: Draft) -> int:
    return sum(step.kind == "event" and "verdict" in step.output_data for step in draft.steps)


def _answered(parts: Parts, draft: Draft, event: Inbound) -> Step | None:
    asked, payload = draft.task.asked or {}, payload_of(draft.task, event) or {}
    told = {"by": payload["by"], "reason": payload.get("reason", "")}
    draft.audit(note(event, "applied"))
    if asked["kind"] == "approval":
        verdict = "granted" if event.kind == GRANTED else "refused"
        draft.receive(event, call=asked["call"], verdict=verdict, **told)
        draft.note("approval", **{"id": asked["id"], "verdict": verdict, "by": payload["by"]})
        _leave(draft, Event.CALLBACK_RECEIVED, asked["since"])
        return None
    step = next(s for s in reversed(draft.steps) if s.step_id == asked["step"])
    if event.kind == DENIED:
        draft.receive(event, denied=step.key, attempt=step.attempt, **told)
        _leave(draft, Event.CALLBACK_RECEIVED, draft.now)
        return step  # it did not happen: the same key may be used again
    output = parts.tools[step.tool or ""].contract.check(payload["output"])
    draft.receive(event, answers=step.key, **told)
    draft.stand_in(step, "success", None, output)
    _leave(draft, Event.CALLBACK_RECEIVED, asked.get("since", draft.now))
    if step.kind == "undo":
        compensated(draft, step)
    else:
        draft.take(parts.workflow, root_of(draft.steps, step), mapped(parts.workflow, draft.steps, step, output))
    return None


def _expired(draft: Draft, asked: Any) -> None:
    if asked["kind"] == "person":
        dead = next(s for s in reversed(draft.steps) if s.step_id == asked["step"])
        none = {"error": "person_timeout", "reason": "nobody answered in time"}
        draft.stand_in(dead, "failed", "person_timeout", none)
    else:
        told = {"call": asked["call"], "verdict": "expired", "by": "", "reason": ""}
        step = draft.new("event", digest(told), input_data={"kind": "approval.expired"}, output_data=told)
        draft.insert(step.but(status="success", finished_at=draft.now))
    draft.note("expired", what=asked["kind"], id=asked["id"])
    _leave(draft, Event.WAIT_EXPIRED, asked["since"])


def _since(task: Task, wait: Wait) -> float:
    return (task.wait_until or 0.0) - wait.timeout_s


def _wait(parts: Parts, task: Task) -> Wait:
    wait = parts.workflow.stage(task.business_state).wait
    if wait is None:
        raise AgentError(f"task {task.request_id!r} is in no declared wait", code="corrupt_history")
    return wait
