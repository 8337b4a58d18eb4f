"""The transitions of an agent's own machine: those it says it has, and those it made in a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_agent.trace import AgentEvent, AgentStarted, Event


def transitions_declared(events: Iterable[Event]) -> frozenset[str]:
    """What the first life's description lists under `transitions`, as `state event to`; empty where it lists none."""
    for event in events:
        if isinstance(event, AgentStarted):
            rows = event.description.get("transitions")
            found = (_say(row, "state") for row in rows) if isinstance(rows, list) else ()
            return frozenset(text for text in found if text)
    return frozenset()


def transitions_made(events: Iterable[Event]) -> frozenset[str]:
    """What the agent reported as `{"kind": "transition", "from": ..., "event": ..., "to": ...}`."""
    data = (event.data for event in events if isinstance(event, AgentEvent))
    return frozenset(text for row in data if row.get("kind") == "transition" and (text := _say(row, "from")))


def _say(row: Any, state: str) -> str:
    if not isinstance(row, Mapping) or not all(isinstance(row.get(key), str) for key in (state, "event", "to")):
        return ""
    return f"{row[state]} {row['event']} {row['to']}"
