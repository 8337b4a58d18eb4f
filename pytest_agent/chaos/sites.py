"""The sites of a run, read from its trace, each with the facts an effect needs to know whether it applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_agent.faults.site import Site
from pytest_agent.trace import (
    AgentStarted,
    Died,
    Event,
    EventDelivered,
    FaultApplied,
    ModelReplied,
    OutcomeClaimed,
    StoreCommitted,
    TaskChosen,
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
    can = sorted({word for event in events if isinstance(event, AgentStarted) for word in event.can})
    found: dict[Site, SeenSite] = {}
    called: list[ToolCalled] = []
    said = mortal = struck = False
    state, lives = "", 1
    for event in events:
        if isinstance(event, (AgentStarted, OutcomeClaimed)):
            # Only one that is started again has a death to survive, and only while it is at work.
            mortal = isinstance(event, AgentStarted) and event.restartable
        if isinstance(event, ToolCalled):
            # What the last turn that called any tools has called.
            called = [event] if said else [*called, event]
            said = False
        # Only an agent that is at work can be started again after it died there.
        process = {"restartable": mortal, "can": can}
        for seen in _of(event, commits, called, arrived, process):
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
    event: Event,
    commits: Sequence[Site],
    called: Sequence[ToolCalled],
    arrived: Sequence[EventDelivered],
    process: dict[str, Any],
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
        site = Site.parse(event.site)
        model = {**process, "answered": event.end == "complete", "first": site.n == 1}
        return [SeenSite(site, facts), SeenSite(site.at_process(), model)]
    if isinstance(event, ToolCalled):
        site, effect = Site.parse(event.site), {"effect": event.effect}
        return [SeenSite(site, effect), SeenSite(site.at_process(), {**process, **effect})]
    if isinstance(event, StoreCommitted):
        site = Site.parse(event.site)
        last = site.phase == "after" and site == commits[-1]
        at_process = {**process, "last": last, "phase": site.phase, "file": bool(event.file)}
        return [SeenSite(site.at_process(), at_process), SeenSite(site, {"phase": site.phase})]
    if isinstance(event, TaskChosen):
        site = Site.parse(event.site)
        return [SeenSite(site, {"ready": event.ready, "first": site.n == 1})]
    if isinstance(event, EventDelivered):
        # The same event once more is no other event: the two can change places and nobody would notice.
        after = arrived[arrived.index(event) + 1 :][:1]
        followed = any((other.source, other.event_id) != (event.source, event.event_id) for other in after)
        return [SeenSite(Site.parse(event.site), {"followed": followed, "fields": event.fields})]
    return []
