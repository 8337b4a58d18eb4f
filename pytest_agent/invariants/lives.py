"""Which events of a run belong to which task, where a test gives an agent several of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_agent.trace import AgentStarted, Event, OutcomeClaimed


def tasks_of(events: Sequence[Event]) -> list[list[Event]] | None:
    """The events task by task, or None where tasks ran at once and nothing tells their events apart.

    A task begins where an agent that describes itself is started for the first time; its further lives are of the
    same task.
    """
    tasks: list[list[Event]] = [[]]
    started = claimed = False
    for event in events:
        if isinstance(event, AgentStarted) and event.life == 1 and event.description:
            if started and not claimed:
                return None
            if started:
                tasks.append([])
            started, claimed = True, False
        claimed = claimed or isinstance(event, OutcomeClaimed)
        tasks[-1].append(event)
    return tasks


def described(events: Sequence[Event], part: str) -> Any:
    """One part of what the agent says of itself, or None."""
    found = [
        event.description[part] for event in events if isinstance(event, AgentStarted) and part in event.description
    ]
    return found[-1] if found else None


def contracts_of(events: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """The tool contracts that the agent describes, by the tool's name."""
    rows = described(events, "contracts") or ()
    return {row["name"]: row for row in rows if isinstance(row, dict) and "name" in row}
