"""A draft of one commit: rows, transitions and audit are gathered here and written together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentfsm import machine
from agentfsm.contracts import digest
from agentfsm.records import Commit, Inbound, Outcome, Step, Task
from agentfsm.states import Event


class Draft:
    """Collects what becomes one transaction. `steps` is the history as it will be afterwards."""

    def __init__(self, task: Task, steps: Sequence[Step], now: float) -> None:
        self.task = task
        self.steps = list(steps)
        self.event: Inbound | None = None
        self.commands: tuple[machine.Command, ...] = ()
        self.now = now
        self._labels: list[str] = []
        self._finished: list[Step] = []
        self._inserted: list[Step] = []
        self._audit: list[dict[str, Any]] = []

    def say(self, label: str) -> None:
        """Add a part to the commit's label."""
        self._labels.append(label)

    def new(self, kind: Any, hashed: Any, *, tool: str | None = None, call_id: str = "", **more: Any) -> Step:
        """Return a first attempt under the next free number; it is not inserted yet."""
        number = max((step.step_id for step in self.steps), default=0) + 1
        owner = self.task.request_id
        return Step(owner, number, 1, kind, digest(hashed), self.now, tool=tool, call_id=call_id, **more)

    def note(self, kind: str, **facts: Any) -> None:
        """Add an audit row."""
        self.audit({"kind": kind, **facts})

    def audit(self, row: dict[str, Any]) -> None:
        """Add an audit row that is made already."""
        self._audit.append(row)

    def fire(self, event: Event, **changes: Any) -> None:
        """Move the machine; `changes` go into the task row."""
        state, self.commands = machine.step(self.task.fsm_state, event)
        self.note("transition", **{"from": self.task.fsm_state.value}, event=event.value, to=state.value)
        self.task = replace(self.task, fsm_state=state, **changes)

    def end(self, event: Event, outcome: Outcome, cause: str | None, answer: str = "") -> None:
        """Move the machine to its end, or to waiting, with the claim that goes with it."""
        self.fire(event, outcome=outcome, cause=cause, answer=answer, wait_until=None)
        self.note("outcome", outcome=outcome, cause=cause)
        self.say(f"{self.task.fsm_state.value} {outcome}" + (f" {cause}" if cause else ""))

    def finish(self, step: Step, label: str, **changes: Any) -> None:
        """Finish a pending attempt."""
        closed = replace(step, finished_at=self.now, **changes)
        self.steps[self.steps.index(step)] = closed
        self._finished.append(closed)
        again = f" attempt {step.attempt}" if label != "finish" else ""
        self.say(f"{label} step {step.step_id}{again}")
        if closed.error_code:
            self.task = replace(self.task, last_error=closed.error_code)
            self.note("attempt_failed", step=step.step_id, attempt=step.attempt, code=closed.error_code)

    def intend(self, step: Step) -> None:
        """Insert a pending attempt: from this commit on it may act."""
        self._insert(step)
        again = f" attempt {step.attempt}" if step.attempt > 1 else ""
        self.say(f"intent step {step.step_id}{again} {step.tool or 'model'}")
        self.task = replace(self.task, attempt=step.attempt)

    def receive(self, event: Inbound, text: str) -> None:
        """Insert an event that a wait was for; `text` is what the model is told of it."""
        given = {"source": event.source, "event_id": event.event_id, "kind": event.kind, "payload": event.payload}
        step = self.new("event", given, input_data=given, output_data={"text": text})
        self._insert(replace(step, status="success", finished_at=self.now))
        self.event = replace(event, reason=None)
        self.say(f"event {event.source}/{event.event_id} applied, step {step.step_id}")

    def refuse(self, step: Step) -> None:
        """Insert a proposal that was answered with a reason."""
        self._insert(replace(step, finished_at=self.now))
        self.say(f"refuse step {step.step_id} {step.error_code}")
        self.task = replace(self.task, last_error=step.error_code)
        self.note("refused", step=step.step_id, tool=step.tool, code=step.error_code)

    def _insert(self, step: Step) -> None:
        self.steps.append(step)
        self._inserted.append(step)

    def commit(self) -> Commit:
        """Return the transaction."""
        return Commit(
            label=", ".join(self._labels),
            task=self.task,
            at=self.now,
            finished=tuple(self._finished),
            inserted=tuple(self._inserted),
            event=self.event,
            audit=tuple(self._audit),
        )
