"""A draft of one commit: rows, transitions and audit are gathered here and written together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentfsm import machine
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

    def note(self, kind: str, **facts: Any) -> None:
        """Add an audit row."""
        self._audit.append({"kind": kind, **facts})

    def fire(self, event: Event, **changes: Any) -> None:
        """Move the machine; `changes` go into the task row."""
        state, self.commands = machine.step(self.task.fsm_state, event)
        self.note("transition", **{"from": self.task.fsm_state.value}, event=event.value, to=state.value)
        self.task = replace(self.task, fsm_state=state, **changes)

    def end(self, event: Event, outcome: Outcome, cause: str | None, answer: str = "") -> None:
        """Move the machine to its end, or to waiting, with the claim that goes with it."""
        self.fire(event, outcome=outcome, cause=cause, answer=answer)
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
