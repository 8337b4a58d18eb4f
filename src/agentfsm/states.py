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

    USER_REQUEST_RECEIVED = "user_request_received"  # also: asked again while waiting for the world
    MODEL_REPLIED = "model_replied"  # a complete turn: calls it proposes, or a final text
    TOOL_PROPOSED = "tool_proposed"  # a proposal the orchestrator allowed
    TOOL_RESULT_RECEIVED = "tool_result_received"
    ANSWER_ACCEPTED = "answer_accepted"  # a final text, and the post-condition holds
    VALIDATION_ERROR = "validation_error"  # a proposal, an answer or an input was refused with a reason
    ATTEMPT_FAILED = "attempt_failed"  # one attempt failed or was lost; another follows
    STEP_FAILED = "step_failed"  # no further attempt is possible or allowed
    EFFECT_UNKNOWN = "effect_unknown"  # an effect may have happened and nobody here can tell
    LIMIT_REACHED = "limit_reached"
    TIMEOUT = "timeout"  # the task's own deadline has passed
    CANCEL = "cancel"


TERMINAL = frozenset({State.DONE, State.FAILED})

_S, _E = State, Event
_ENDS = {_E.STEP_FAILED, _E.LIMIT_REACHED, _E.TIMEOUT, _E.CANCEL}

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
        (_S.EXECUTING_STEP, _E.VALIDATION_ERROR): _S.PLANNING,
        (_S.EXECUTING_STEP, _E.ATTEMPT_FAILED): _S.EXECUTING_STEP,
        (_S.EXECUTING_STEP, _E.EFFECT_UNKNOWN): _S.WAITING_EXTERNAL,
        (_S.WAITING_EXTERNAL, _E.USER_REQUEST_RECEIVED): _S.EXECUTING_STEP,
        (_S.WAITING_EXTERNAL, _E.TIMEOUT): _S.FAILED,
        (_S.WAITING_EXTERNAL, _E.CANCEL): _S.FAILED,
        **{(state, event): _S.FAILED for state in (_S.PLANNING, _S.EXECUTING_STEP) for event in _ENDS},
    }
)


def describe() -> list[dict[str, str]]:
    """Return the table as plain data, sorted: `[{"state": ..., "event": ..., "to": ...}, ...]`."""
    rows = ({"state": s.value, "event": e.value, "to": to.value} for (s, e), to in TRANSITIONS.items())
    return sorted(rows, key=lambda row: (row["state"], row["event"]))
