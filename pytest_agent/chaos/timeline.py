"""One run in a few lines: what the agent asked, what it was told, what struck, what changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from pytest_agent.trace import (
    AgentLeft,
    AssertionFailed,
    Died,
    EffectCommitted,
    Event,
    EventDelivered,
    FaultApplied,
    ModelRefused,
    ModelReplied,
    ModelRequested,
    OutcomeClaimed,
    RunAborted,
    ServiceAnswered,
    StoreCommitted,
    ToolCalled,
    ToolReplied,
    Unanswered,
    WorldChecked,
)

_WIDTH = 160
_MOST = 24


def timeline(events: Sequence[Event], plain: Callable[[str], str] = str) -> list[str]:
    """At most two dozen lines, each with the virtual second at which it happened.

    `plain` takes out of a text what is of this machine only; it must do so before a line is cut.
    """
    lines = [_fit(f"{event.t_s:8.2f} s  {plain(text)}") for event in events if (text := _say(event))]
    if len(lines) > _MOST:
        cut = len(lines) - _MOST
        lines = [*lines[: _MOST // 2], f"            … {cut} more …", *lines[-_MOST // 2 :]]
    return lines


def _fit(line: str) -> str:
    line = " ".join(line.splitlines())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _say(event: Event) -> str | None:
    match event:
        case ModelRequested():
            return f"{event.site}  asked, {len(event.messages)} message(s)"
        case ModelRefused():
            return f"a request was refused, {event.status}: {event.message}"
        case ModelReplied():
            return f"{event.site}  {_reply(event)}"
        case ServiceAnswered():
            return f"{event.service}  answered {event.status}"
        case ToolCalled():
            bad = f"  NOT VALID: {event.problem}" if event.problem else ""
            return f"{event.site}  called {json.dumps(event.arguments, default=repr)}{bad}"
        case ToolReplied():
            return f"{event.site}  {event.status}: {event.detail}"
        case EffectCommitted():
            return f"{event.site}  COMMITTED, ledger {event.entry}, key {event.key or 'none'}"
        case FaultApplied():
            return f"{event.site}  FAULT {event.fault}: {event.detail}"
        case StoreCommitted():
            # Every commit has a site before it and one after it; what it wrote is told once.
            return f"{event.site.removesuffix('.after')}  {event.label}" if event.site.endswith(".after") else None
        case EventDelivered():
            return f"{event.site}  {event.event} {event.source}/{event.event_id} acknowledged"
        case AgentLeft() if left := [*event.tasks, *event.threads, *event.children, *event.sockets]:
            return f"still there when the agent had ended: {', '.join(left)}"
        case Died():
            return "the process died"
        case OutcomeClaimed():
            return f"claimed {event.outcome}{' for ' + event.cause if event.cause else ''}: {event.detail}"
        case WorldChecked():
            return f"world: {event.name!r} {'holds' if event.holds else 'does NOT hold'}"
        case AssertionFailed() | Unanswered():
            return f"test: {event.detail.strip().partition(chr(10))[0]}"
        case RunAborted():
            return f"ended by the harness, {event.reason}: {event.detail}"
        case _:
            return None


def _reply(event: ModelReplied) -> str:
    if event.status != 200:
        return f"answered {event.status} {event.error_code or ''}".rstrip()
    said = [f"{call['name']}({call['arguments']})" for call in event.calls]
    if event.text:
        said.append(repr(event.text))
    how = "" if event.end == "complete" else f"  {event.end} after {event.delivered} of {event.events} events"
    return f"said {', '.join(said) or 'nothing'}{how}"
