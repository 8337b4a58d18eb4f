"""What a check is given, and what it gives back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_agent.faults.catalogue import Named
from pytest_agent.trace import (
    EffectCommitted,
    Event,
    EventT,
    FaultApplied,
    ModelReplied,
    ModelRequested,
    OutcomeClaimed,
    ToolCalled,
)

Operation = tuple[str, str]
"""A logical operation: a tool and its arguments in canonical form."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold: its id and name, what happened in one line, and the evidence line by line."""

    id: str
    name: str
    headline: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.id} {self.name}: {self.headline}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The trace of one run that is over, that of the clean run where there is one, and the faults of the schedule."""

    events: Sequence[Event]
    baseline: Sequence[Event] | None = None
    faults: tuple[Named, ...] = ()
    must_recover: bool = False
    _by_kind: dict[type[Event], list[Event]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, kind: type[EventT]) -> Iterator[EventT]:
        """The events of one type, in order."""
        if not self._by_kind:
            for event in self.events:
                self._by_kind.setdefault(type(event), []).append(event)
        found: list[Any] = self._by_kind.get(kind, [])
        return iter(found)

    @property
    def claim(self) -> OutcomeClaimed | None:
        """What the agent said last of its outcome."""
        return next((event for event in reversed(self.events) if isinstance(event, OutcomeClaimed)), None)

    @property
    def claims_success(self) -> bool:
        """Whether the agent says it is done."""
        return self.claim is not None and self.claim.outcome == "success"


def was_cut(reply: ModelReplied, events: Sequence[Event]) -> bool:
    """Whether a reply ended before its terminal marker, through no wish of the agent's.

    An agent that stops reading a stream with which nothing is wrong, such as the slower of two that it asked, has cut
    it itself.
    """
    if reply.end == "complete":
        return False
    if reply.end != "closed":
        return True
    return any(isinstance(event, FaultApplied) and event.site == reply.site for event in events)


def asked_by(called: ToolCalled, events: Sequence[Event]) -> ModelReplied | None:
    """The reply whose call this invocation runs: the last one asked for before it that calls this tool, or None.

    A reply may be recorded after the invocation: that of an agent that acts on a stream before its end.
    """
    requested = {event.site: event.seq for event in events if isinstance(event, ModelRequested)}
    candidates = [
        event
        for event in events
        if isinstance(event, ModelReplied)
        and requested.get(event.site, event.seq) < called.seq
        and (event.seq < called.seq or event.end != "complete")
        and plain_name(called.tool) in {plain_name(call["name"]) for call in event.calls}
    ]
    return max(candidates, key=lambda reply: requested.get(reply.site, reply.seq), default=None)


def plain_name(name: str) -> str:
    """A tool's name without its punctuation: on some wires it is written without its dots."""
    return "".join(letter for letter in name if letter.isalnum())


Check = Callable[[Evidence], list[Violation] | None]
"""Returns the violations, none of them where the invariant held, or None where the trace has no evidence to judge."""


def operation(tool: str, arguments: Mapping[str, Any]) -> Operation:
    """The logical operation that a call or an effect belongs to."""
    return tool, json.dumps(arguments, sort_keys=True, default=repr)


def effects(events: Sequence[Event]) -> Counter[Operation]:
    """How often each operation was committed."""
    return Counter(operation(event.tool, event.arguments) for event in events if isinstance(event, EffectCommitted))


def say(tool: str, arguments: Mapping[str, Any] | str) -> str:
    """`payments.refund(order=7)` for people."""
    values = json.loads(arguments) if isinstance(arguments, str) else arguments
    return f"{tool}({', '.join(f'{name}={value!r}' for name, value in sorted(values.items()))})"
