"""The states of a task, the events that move it, and the one table of legal transitions. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a task stands. DONE and FAILED are final."""

    INIT = "INIT"
    PLANNING = "PLANNING"
    EXECUTING_STEP = "EXECUTING_STEP"
    WAITING_EXTERNAL = "WAITING_EXTERNAL"
    DONE = "DONE"
    FAILED = "FAILED"


class Event(StrEnum):
    """What can happen to a task."""

    USER_REQUEST_RECEIVED = "user_request_received"  # also: asked again while an effect is in doubt
    MODEL_REPLIED = "model_replied"  # a complete turn: calls it proposes, or a final text
    TOOL_PROPOSED = "tool_proposed"  # a proposal the orchestrator allowed
    TOOL_RESULT_RECEIVED = "tool_result_received"
    PART_RECEIVED = "part_received"  # one call of a group came to its end; others are still out
    ANSWER_ACCEPTED = "answer_accepted"  # a final text, and the post-condition holds
    VALIDATION_ERROR = "validation_error"  # a proposal, an answer or an input was refused with a reason
    ATTEMPT_FAILED = "attempt_failed"  # one attempt failed or was lost; another follows
    STEP_FAILED = "step_failed"  # no further attempt is possible or allowed
    EFFECT_UNKNOWN = "effect_unknown"  # an effect may have happened and nobody here can tell
    EXTERNAL_NEEDED = "external_needed"  # the way forward leads through the user or another system
    RESUMED = "resumed"  # an operator lifted what held the task back
    CALLBACK_RECEIVED = "callback_received"  # what a wait was for: a message of the user, a callback
    WAIT_EXPIRED = "wait_expired"  # it did not come in time
    COMPENSATION_REQUIRED = "compensation_required"  # the end is decided; a committed effect is undone first
    ABORTED = "aborted"  # the business itself rules success out
    LIMIT_REACHED = "limit_reached"
    TIMEOUT = "timeout"  # the task's own deadline has passed
    CANCEL = "cancel"


TERMINAL = frozenset({State.DONE, State.FAILED})

_S, _E = State, Event
_ENDS = {_E.STEP_FAILED, _E.LIMIT_REACHED, _E.TIMEOUT, _E.CANCEL, _E.ABORTED}

TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (_S.INIT, _E.USER_REQUEST_RECEIVED): _S.PLANNING,
        (_S.INIT, _E.CANCEL): _S.FAILED,
        (_S.PLANNING, _E.MODEL_REPLIED): _S.PLANNING,
        (_S.PLANNING, _E.TOOL_PROPOSED): _S.EXECUTING_STEP,
        (_S.PLANNING, _E.VALIDATION_ERROR): _S.PLANNING,
        (_S.PLANNING, _E.ATTEMPT_FAILED): _S.PLANNING,
        (_S.PLANNING, _E.ANSWER_ACCEPTED): _S.DONE,
        (_S.EXECUTING_STEP, _E.TOOL_RESULT_RECEIVED): _S.PLANNING,
        (_S.EXECUTING_STEP, _E.PART_RECEIVED): _S.EXECUTING_STEP,
        (_S.EXECUTING_STEP, _E.VALIDATION_ERROR): _S.PLANNING,
        (_S.EXECUTING_STEP, _E.ATTEMPT_FAILED): _S.EXECUTING_STEP,
        (_S.EXECUTING_STEP, _E.EFFECT_UNKNOWN): _S.WAITING_EXTERNAL,
        (_S.PLANNING, _E.EFFECT_UNKNOWN): _S.WAITING_EXTERNAL,  # another one of a group, once the first is settled
        (_S.WAITING_EXTERNAL, _E.USER_REQUEST_RECEIVED): _S.EXECUTING_STEP,
        (_S.EXECUTING_STEP, _E.TOOL_PROPOSED): _S.EXECUTING_STEP,
        (_S.EXECUTING_STEP, _E.EXTERNAL_NEEDED): _S.WAITING_EXTERNAL,
        (_S.WAITING_EXTERNAL, _E.RESUMED): _S.PLANNING,
        (_S.PLANNING, _E.EXTERNAL_NEEDED): _S.WAITING_EXTERNAL,
        (_S.PLANNING, _E.COMPENSATION_REQUIRED): _S.EXECUTING_STEP,
        (_S.EXECUTING_STEP, _E.COMPENSATION_REQUIRED): _S.EXECUTING_STEP,
        (_S.WAITING_EXTERNAL, _E.COMPENSATION_REQUIRED): _S.EXECUTING_STEP,
        (_S.WAITING_EXTERNAL, _E.CALLBACK_RECEIVED): _S.PLANNING,
        (_S.WAITING_EXTERNAL, _E.WAIT_EXPIRED): _S.PLANNING,
        (_S.WAITING_EXTERNAL, _E.TIMEOUT): _S.FAILED,
        (_S.WAITING_EXTERNAL, _E.CANCEL): _S.FAILED,
        **{(state, event): _S.FAILED for state in (_S.PLANNING, _S.EXECUTING_STEP) for event in _ENDS},
    }
)


def describe() -> list[dict[str, str]]:
    """Return the table as plain data, sorted: `[{"state": ..., "event": ..., "to": ...}, ...]`."""
    rows = ({"state": s.value, "event": e.value, "to": to.value} for (s, e), to in TRANSITIONS.items())
    return sorted(rows, key=lambda row: (row["state"], row["event"]))
