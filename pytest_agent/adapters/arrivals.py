"""What arrives from outside while an agent waits, which of it the agent has acknowledged, and the faults of its way."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_agent.faults.effect import Delivered, EventEffect
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.trace import EventDelivered

ResultT = TypeVar("ResultT")
CONTROL = "control"
"""The source of an arrival that is no event but what an operator switches: `{"key": ..., "value": ...}`."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event: who sends it, its id there, its kind and its payload, `after_s` virtual seconds after the last one."""

    source: str
    event_id: str
    kind: str
    payload: Any = None
    after_s: float = 0.0


class Mailbox:
    """The arrivals of one task in order. The outside sends each again until it is acknowledged.

    `numbers` counts the arrivals of each kind, for mailboxes of one run that are filled one after the other.
    """

    def __init__(self, arrivals: Sequence[Arrival] = (), numbers: Counter[str] | None = None) -> None:
        numbers = Counter() if numbers is None else numbers
        self._left: list[Delivered] = []
        self._opened: set[Site] = set()
        for arrival in arrivals:
            numbers[arrival.kind] += 1
            site = Site("event", arrival.kind, numbers[arrival.kind])
            what = (arrival.source, arrival.event_id, arrival.kind, arrival.payload)
            self._left.append(Delivered(site, *what, delay_s=arrival.after_s))

    @property
    def is_empty(self) -> bool:
        """Whether all that was to come has been acknowledged."""
        return not self._left

    async def deliver(self, seams: Seams, hand_over: Callable[[Delivered], Awaitable[ResultT]]) -> ResultT | None:
        """Hand over what is left, one after the other; returns what came of the last, None where nothing was left.

        The faults of the seam act on an event as its turn comes. It is acknowledged once `hand_over` has returned in a
        process that lives; until then it stays, as does what a fault has made of it, and is sent again.
        """
        result: ResultT | None = None
        while self._left:
            seams.check_alive()
            self._open(seams)
            event = self._left[0]
            if event.delay_s:
                await asyncio.sleep(event.delay_s)
                # What has come late once is sent again without delay.
                event = self._left[0] = dataclasses.replace(event, delay_s=0.0)
            result = await hand_over(dataclasses.replace(event, payload=copy.deepcopy(event.payload)))
            seams.check_alive()
            del self._left[0]
            if event.source == CONTROL:
                continue
            seams.trace.append(
                EventDelivered(
                    site=str(event.site),
                    source=event.source,
                    event_id=event.event_id,
                    event=event.kind,
                    fields=isinstance(event.payload, Mapping),
                )
            )
        return result

    def snapshot(self) -> dict[str, Any]:
        """What is yet to come, as JSON data."""
        return {
            "left": [{**dataclasses.asdict(event), "site": str(event.site)} for event in self._left],
            "opened": sorted(str(site) for site in self._opened),
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from what `snapshot` gave."""
        self._left = [Delivered(**{**event, "site": Site.parse(event["site"])}) for event in data["left"]]
        self._opened = {Site.parse(site) for site in data["opened"]}

    def _open(self, seams: Seams) -> None:
        """Let the faults act on the next event, and on the one that takes its place; on each once."""
        while (meant := self._left[0]).site not in self._opened:
            self._opened.add(meant.site)
            if meant.source == CONTROL:
                continue  # the hand of an operator is no event that can be lost or doubled
            for fault, effect in seams.at(meant.site, EventEffect):
                at = next(n for n, event in enumerate(self._left) if event.identity == meant.identity)
                changed = effect.change(self._left, at)
                if changed != self._left:
                    seams.struck(fault, meant.site, _say(self._left, changed))
                self._left = changed


def _say(meant: Sequence[Delivered], changed: Sequence[Delivered]) -> str:
    """What comes instead, up to where all goes on as meant."""
    same = 0
    while same < min(len(meant), len(changed)) and meant[-1 - same] == changed[-1 - same]:
        same += 1
    payloads = {event.identity: event.payload for event in meant}
    return "there came " + ", then ".join(
        f"{event.kind} {event.source}/{event.event_id}"
        + (f" after {event.delay_s:g} s" if event.delay_s else "")
        + (" with more in it" if payloads.get(event.identity, event.payload) != event.payload else "")
        for event in changed[: len(changed) - same]
    )
