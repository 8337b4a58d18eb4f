"""What a check is given, and what it gives back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_agent.faults.catalogue import Named
from pytest_agent.trace import EffectCommitted, Event, EventT, OutcomeClaimed

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
    """The trace of one run, that of the clean run where there is one, and the faults of the schedule."""

    events: Sequence[Event]
    baseline: Sequence[Event] | None = None
    faults: tuple[Named, ...] = ()
    must_recover: bool = False

    def of(self, kind: type[EventT]) -> Iterator[EventT]:
        """The events of one type, in order."""
        return (event for event in self.events if isinstance(event, kind))

    @property
    def claim(self) -> OutcomeClaimed | None:
        """What the agent said last of its outcome."""
        return next((event for event in reversed(self.events) if isinstance(event, OutcomeClaimed)), None)

    @property
    def claims_success(self) -> bool:
        """Whether the agent says it is done."""
        return self.claim is not None and self.claim.outcome == "success"


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
