"""A draft of one commit: rows, transitions and audit are gathered here and written together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentfsm import machine
from agentfsm.budgets import plus_each
from agentfsm.contracts import digest
from agentfsm.records import Commit, Control, Inbound, Incident, Outcome, Step, Task
from agentfsm.states import Event, State
from agentfsm.waits import Business
from agentfsm.workflow import Workflow

# Copied for each new one, which is faster than making it.
_BLANK = Step("", 0, 1, "tool", "", 0.0)
_NOTHING = Commit("", Task("", "", "", State.INIT, "", 0.0), 0.0)


class Draft:
    """Collects what becomes one transaction. `steps` is the history as it will be afterwards."""

    def __init__(self, task: Task, steps: Sequence[Step], now: float) -> None:
        self.task = task
        self.steps = list(steps)
        self.event: Inbound | None = None
        self.now = now
        self._labels: list[str] = []
        self._finished: list[Step] = []
        self._inserted: list[Step] = []
        self._audit: list[dict[str, Any]] = []
        self.incidents: list[Incident] = []
        self.controls: list[Control] = []

    @property
    def pending(self) -> list[Step]:
        """The attempts that are open."""
        return [step for step in self.steps if step.status == "pending"]

    def say(self, label: str) -> None:
        """Add a part to the commit's label."""
        self._labels.append(label)

    def new(self, kind: Any, input_hash: str = "", *, tool: str | None = None, call_id: str = "", **more: Any) -> Step:
        """Return a first attempt under the next free number; it is not inserted yet. The hash is that of its input."""
        return _BLANK.but(
            request_id=self.task.request_id,
            step_id=1 + max([step.step_id for step in self.steps], default=0),
            kind=kind,
            input_hash=input_hash,
            created_at=self.now,
            tool=tool,
            call_id=call_id,
            **more,
        )

    def note(self, kind: str, **facts: Any) -> None:
        """Add an audit row."""
        self.audit({"kind": kind, **facts})

    def audit(self, row: dict[str, Any]) -> None:
        """Add an audit row that is made already."""
        self._audit.append(row)

    def fire(self, event: Event, **changes: Any) -> None:
        """Move the machine; `changes` go into the task row."""
        state = machine.step(self.task.fsm_state, event)
        before = self.task.fsm_state._value_  # `value` is looked up in Python each time
        self._audit.append({"kind": "transition", "from": before, "event": event._value_, "to": state._value_})
        self.task = self.task.but(fsm_state=state, **changes)

    def enter(self, workflow: Workflow, business: Business) -> None:
        """Take the next business state; entering a stage whose visits are bounded is counted."""
        stage = workflow.stage(business)
        if stage.name != self.task.current_step and stage.visits is not None:
            self.task = self.task.but(budget_used=plus_each(self.task.budget_used, "visits", stage.name))
        self.task = self.task.but(business_state=business, current_step=stage.name)

    def end(self, event: Event, outcome: Outcome, cause: str | None, answer: str = "") -> None:
        """Move the machine to its end, or to waiting, with the claim that goes with it."""
        rest = {"wait_until": None, "next_run_at": None, "asked": None}
        self.fire(event, outcome=outcome, cause=cause, answer=answer, **rest)
        self.note("outcome", outcome=outcome, cause=cause)
        self.say(f"{self.task.fsm_state.value} {outcome}" + (f" {cause}" if cause else ""))

    def finish(self, step: Step, label: str, **changes: Any) -> None:
        """Finish a pending attempt."""
        closed = step.but(finished_at=self.now, **changes)
        place = next(n for n, known in enumerate(self.steps) if known is step)
        self.steps[place] = closed
        self._finished.append(closed)
        again = f" attempt {step.attempt}" if label != "finish" else ""
        self.say(f"{label} step {step.step_id}{again}")
        if closed.status != "success":
            self.task = self.task.but(last_error=closed.error_code)
            self.note("attempt_failed", step=step.step_id, attempt=step.attempt, code=closed.error_code)

    def intend(self, step: Step) -> None:
        """Insert a pending attempt: from this commit on it may act."""
        self.insert(step)
        again = f" attempt {step.attempt}" if step.attempt > 1 else ""
        self.say(f"intent step {step.step_id}{again} {step.tool or 'model'}")
        if self.task.attempt != step.attempt:
            self.task = self.task.but(attempt=step.attempt)

    def receive(self, event: Inbound, **told: Any) -> None:
        """Insert an event that a wait was for; `text` of `told` is what the model is told of it."""
        given = {"source": event.source, "event_id": event.event_id, "kind": event.kind, "payload": event.payload}
        step = self.new("event", digest(given), input_data=given, output_data=told)
        self.insert(step.but(status="success", finished_at=self.now))
        self.event = Inbound(event.source, event.event_id, event.kind, event.payload)
        self.say(f"event {event.source}/{event.event_id} applied, step {step.step_id}")

    def take(self, workflow: Workflow, step: Step, output: Any) -> None:
        """Fold the answer of a tool into the business state; one that changes nothing is counted."""
        before, used = self.task.business_state, self.task.budget_used
        business = workflow.fold(before, step.tool or "", step.input_data, output)
        idle = used.get("idle", 0)
        if business == before:
            self.task = self.task.but(budget_used={**used, "idle": idle + 1})
        elif idle:
            self.task = self.task.but(budget_used={**used, "idle": 0})
        self.enter(workflow, business)

    def stand_in(self, step: Step, status: Any, code: str | None, output: Any) -> None:
        """Insert what answers in place of a tool's step, or the note that it has no answer."""
        made = self.new(step.kind, step.input_hash, tool=step.tool, call_id=step.call_id, undoes=step.undoes)
        self.insert(
            made.but(
                status=status,
                error_code=code,
                input_data=step.input_data,
                output_data=dict(output),
                finished_at=self.now,
                stands_in_for=step.step_id,
                tool_version=step.tool_version,
                # What a person confirms has happened; any other substitute changes nothing.
                effect_class=step.effect_class if status == "success" and code is None else "pure",
            )
        )

    def refuse(self, step: Step) -> None:
        """Insert a proposal that was answered with a reason."""
        self.insert(step.but(finished_at=self.now))
        self.say(f"refuse step {step.step_id} {step.error_code}")
        self.task = self.task.but(last_error=step.error_code)
        self.note("refused", step=step.step_id, tool=step.tool, code=step.error_code)

    def insert(self, step: Step) -> None:
        """Insert a row as it is."""
        self.steps.append(step)
        self._inserted.append(step)

    def paused_until(self) -> float | None:
        """Return when the first open attempt may begin, or None where one may begin now."""
        times = [step.not_before or 0.0 for step in self.pending]
        return min(times) if times and min(times) > self.now else None

    def commit(self, *, claims: bool) -> Commit:
        """Return the transaction."""
        return _NOTHING.but(
            label=", ".join(self._labels),
            task=self.task,
            at=self.now,
            finished=tuple(self._finished),
            inserted=tuple(self._inserted),
            event=self.event,
            claims=claims,
            audit=tuple(self._audit),
            incidents=tuple(self.incidents),
            controls=tuple(self.controls),
        )
