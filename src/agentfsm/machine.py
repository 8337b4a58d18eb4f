"""The machine: `(state, event) -> state`. Pure, no I/O; what is to be done in a state is the driver's to know."""

from __future__ import annotations

from agentfsm.errors import InvalidTransition
from agentfsm.states import TERMINAL, TRANSITIONS, Event, State

_AT_REST = TERMINAL | {State.WAITING_EXTERNAL}


def step(state: State, event: Event) -> State:
    """Return the next state; raise InvalidTransition, changing nothing."""
    target = TRANSITIONS.get((state, event))
    if target is None:
        legal = sorted(e.value for s, e in TRANSITIONS if s is state)
        said = "it is final" if state in TERMINAL else f"it accepts {legal}"
        raise InvalidTransition(
            f"state {state.value} does not accept {event.value!r}: {said}",
            state=state.value,
            event=event.value,
        )
    return target


def at_rest(state: State) -> bool:
    """Whether a task in this state has nothing to do until something comes from outside."""
    return state in _AT_REST
