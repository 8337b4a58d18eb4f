"""What the model says to an agent for which nobody has written a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from pytest_agent.errors import RunAbort
from pytest_agent.llm.persona import Persona, schemas_of
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import ToolCall, Turn
from pytest_agent.llm.wire import wire_name
from pytest_agent.trace import ToolReplied, Trace
from pytest_agent.trial.stubs import StubTools, output_schemas

AGAIN = 3
"""How often a call is made again whose tool has failed, as a model does that is told so."""

MOST_CALLS = 100
"""Model calls after which a run is ended; five for each tool where that is more."""


def trial_model(tools: StubTools, trace: Trace, seed: int) -> Callable[[ModelRequest], Turn]:
    """A persona that calls every tool which the agent declares once, and again what a fault made fail."""
    persona = Persona(seed=seed)
    asked = 0

    def model(request: ModelRequest) -> Turn:
        nonlocal asked
        asked += 1
        if asked > max(MOST_CALLS, 5 * len(request.tools)):
            raise RunAbort("runaway", f"the agent made {asked} model calls and does not stop")
        tools.learn(schemas_of(request.data), output_schemas(request.data))
        again = _failed(request, trace)
        return Turn(calls=again) if again else persona(request)

    return model


def _failed(request: ModelRequest, trace: Trace) -> tuple[ToolCall, ...]:
    """The calls of the last turn whose tool was kept from its work, or whose reply was lost."""
    last = next((message.calls for message in reversed(request.history) if message.role == "assistant"), ())
    status = {wire_name(event.tool, request.tools): event.status for event in trace.of(ToolReplied)}
    made = Counter(call.name for message in request.history for call in message.calls)
    failed = [call for call in last if status.get(call.name) in ("lost", "refused") and made[call.name] <= AGAIN]
    return tuple(replace(call, id=None) for call in failed)
