"""Why a commit is refused, in the same words by every store. Nothing of it was written."""

from __future__ import annotations

from agentfsm.errors import Conflict, InputChanged
from agentfsm.records import Inbound, Step, Task


def moved_on(task: Task, held: int, fence: int | None) -> Conflict:
    """The task could not be moved; `fence` is the stored one, None where there is no such task."""
    if fence is not None and fence != held and task.version:
        said = f"task {task.request_id!r} was taken over: its fence is {fence}, this one is {held}"
        return Conflict(f"{said}; nothing was written", code="fenced", request_id=task.request_id, fence=held)
    said = f"task {task.request_id!r} is no longer at version {task.version}"
    return Conflict(f"{said}; nothing was written", request_id=task.request_id, version=task.version)


def not_pending(step: Step) -> Conflict:
    """The attempt to be finished is not under way."""
    return Conflict(f"{step.key} attempt {step.attempt} is not pending; nothing was written", key=step.key)


def taken(step: Step) -> InputChanged:
    """The key of a new attempt is open or done, or has other input."""
    return InputChanged(f"{step.key} is taken: open, done, or with other input", key=step.key)


def stored_before(event: Inbound) -> Conflict:
    """The event was applied, or ignored for good."""
    return Conflict(f"event {event.source}/{event.event_id} was stored before; nothing was written")


def control_moved_on(key: str, known: int, expected: int) -> Conflict:
    """The control was changed by somebody else."""
    return Conflict(f"control {key!r} is at version {known}, not {expected}; nothing was written", key=key)
