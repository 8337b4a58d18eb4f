"""The machine: `(state, event) -> (state, commands)`. Pure, no I/O; the runtime carries the commands out."""

from __future__ import annotations

from enum import StrEnum

from agentfsm.errors import InvalidTransition
from agentfsm.states import TERMINAL, TRANSITIONS, Event, State


class Command(StrEnum):
    """What the runtime has to do next."""

    DECIDE = "decide"  # let the planner choose: run a tool, ask the model, refuse, or end
    RUN_TOOL = "run_tool"
    REPORT = "report"  # stop here and say what is known


_COMMANDS: dict[State, tuple[Command, ...]] = {
    State.INIT: (),
    State.PLANNING: (Command.DECIDE,),
    State.EXECUTING_STEP: (Command.RUN_TOOL,),
    State.WAITING_EXTERNAL: (Command.REPORT,),
    State.DONE: (Command.REPORT,),
    State.FAILED: (Command.REPORT,),
}


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Return the next state and the commands of entering it; raise InvalidTransition, changing nothing."""
    target = TRANSITIONS.get((state, event))
    if target is None:
        legal = sorted(e.value for s, e in TRANSITIONS if s is state)
        said = "it is final" if state in TERMINAL else f"it accepts {legal}"
        raise InvalidTransition(
            f"state {state.value} does not accept {event.value!r}: {said}",
            state=state.value,
            event=event.value,
        )
    return target, commands(target)


def commands(state: State) -> tuple[Command, ...]:
    """Return what a task in this state waits for; a resumed task goes on from here."""
    return _COMMANDS[state]


_AT_REST = frozenset(state for state, todo in _COMMANDS.items() if Command.REPORT in todo)


def at_rest(state: State) -> bool:
    """Whether a task in this state has nothing to do until something comes from outside."""
    return state in _AT_REST
