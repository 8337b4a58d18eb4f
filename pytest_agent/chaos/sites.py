"""The sites of a run, read from its trace, each with the facts an effect needs to know whether it applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_agent.faults.site import Site
from pytest_agent.trace import (
    Died,
    Event,
    EventDelivered,
    FaultApplied,
    ModelReplied,
    StoreCommitted,
    ToolCalled,
    ToolReplied,
)


@dataclass(frozen=True, slots=True)
class SeenSite:
    """A place that a run went through.

    `after_fault` says that a fault had struck by then; `state` is where the task stood: the stage that was last made
    durable or, for an agent without a store, how the last tool call ended.
    """

    site: Site
    facts: dict[str, Any] = field(hash=False)
    after_fault: bool = False
    state: str = ""

    @property
    def seam(self) -> str:
        """The seam that an effect names to act here."""
        return "process" if self.site.process else self.site.seam


def list_sites(events: Sequence[Event], *, attempts: bool = False) -> list[SeenSite]:
    """Every site of the run in the order in which it was reached; repeated attempts only where asked for."""
    commits = [Site.parse(event.site) for event in events if isinstance(event, StoreCommitted)]
    arrived = [event for event in events if isinstance(event, EventDelivered)]
    found: dict[Site, SeenSite] = {}
    called: list[ToolCalled] = []
    said = struck = False
    state, lives = "", 1
    for event in events:
        if isinstance(event, ToolCalled):
            # What the last turn that called any tools has called.
            called = [event] if said else [*called, event]
            said = False
        for seen in _of(event, commits, called, arrived):
            if (attempts or seen.site.attempt == 1) and seen.site not in found:
                where = f"life {lives}: {state}" if lives > 1 else state
                found[seen.site] = replace(seen, after_fault=struck, state=where)
        said = said or isinstance(event, ModelReplied)
        struck = struck or isinstance(event, FaultApplied)
        lives += isinstance(event, Died)
        state = _state(event, commits) or state
    return list(found.values())


def _state(event: Event, commits: Sequence[Site]) -> str:
    if isinstance(event, StoreCommitted):
        return event.stage
    return f"{event.tool} {event.status}" if isinstance(event, ToolReplied) and not commits else ""


def _of(
    event: Event, commits: Sequence[Site], called: Sequence[ToolCalled], arrived: Sequence[EventDelivered]
) -> list[SeenSite]:
    if isinstance(event, ModelReplied):
        facts = {
            "streamed": event.streamed,
            "terminal_at": event.terminal_at,
            "arguments": any(call["arguments"].strip() not in ("", "{}") for call in event.calls),
            "calls": len(event.calls),
            "called": bool(called),
            "pure": bool(called) and not any(call.effect for call in called),
        }
        return [SeenSite(Site.parse(event.site), facts)]
    if isinstance(event, ToolCalled):
        site, effect = Site.parse(event.site), {"effect": event.effect}
        # Only an agent with a store can be started again after it died here.
        return [SeenSite(site, effect), *([SeenSite(site.at_process(), effect)] if commits else [])]
    if isinstance(event, StoreCommitted):
        site = Site.parse(event.site)
        last = {"last": site.phase == "after" and site == commits[-1]}
        return [SeenSite(site.at_process(), last), SeenSite(site, {"phase": site.phase})]
    if isinstance(event, EventDelivered):
        # The same event once more is no other event: the two can change places and nobody would notice.
        after = arrived[arrived.index(event) + 1 :][:1]
        followed = any((other.source, other.event_id) != (event.source, event.event_id) for other in after)
        return [SeenSite(Site.parse(event.site), {"followed": followed, "fields": event.fields})]
    return []
