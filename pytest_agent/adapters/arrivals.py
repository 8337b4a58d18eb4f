"""What arrives from outside while an agent waits, and which of it the agent has acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_agent.faults.site import Site


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event: who sends it, its id there, its kind and its payload."""

    source: str
    event_id: str
    kind: str
    payload: Any = None


class Mailbox:
    """The arrivals of one task in order. The outside sends each again until it is acknowledged."""

    def __init__(self, arrivals: Sequence[Arrival] = ()) -> None:
        self._arrivals = list(arrivals)
        self.acknowledged = 0

    def waiting(self) -> Iterator[tuple[Site, Arrival]]:
        """What is yet to be delivered, each with its site; the number counts arrivals of one kind."""
        while self.acknowledged < len(self._arrivals):
            arrival = self._arrivals[self.acknowledged]
            before = Counter(earlier.kind for earlier in self._arrivals[: self.acknowledged])
            yield Site("event", arrival.kind, before[arrival.kind] + 1), arrival
            self.acknowledged += 1
