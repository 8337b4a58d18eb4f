"""What both stores read, in the SQL that both understand; `{n}` stands for the n-th value."""

from __future__ import annotations

from typing import Any

from agentfsm.store.rows import EVENT, INCIDENT, STEP, TASK, TASK_SYSTEM

_TASK = f"SELECT {', '.join((*TASK, *TASK_SYSTEM))} FROM task"
_EVENT = f"SELECT {', '.join(EVENT)} FROM event"

LOAD = f"{_TASK} WHERE request_id = {{1}}"
STEPS = f"SELECT {', '.join(STEP)} FROM agent_steps WHERE request_id = {{1}} ORDER BY step_id, attempt"
ONE_EVENT = f"{_EVENT} WHERE source = {{1}} AND event_id = {{2}}"
HELD = f"{_EVENT} WHERE request_id = {{1}} AND reason = 'early' ORDER BY {{arrival}}"
AUDIT = "SELECT version, at, data FROM audit WHERE request_id = {1} ORDER BY version, seq"
CONTROLS = "SELECT key, value, version FROM control"
LAST_CHANGE = "SELECT value FROM meta WHERE key = 'controls'"
INCIDENTS = f"SELECT {', '.join(INCIDENT)} FROM incident ORDER BY seq DESC LIMIT {{1}}"
OUTCOMES = (
    "SELECT workflow, outcome, count(*) FROM task WHERE workflow >= {1} AND workflow < {2} AND mode = 'live' AND ended "
    "GROUP BY workflow, outcome"
)
CANCEL = "UPDATE task SET cancel_requested = {true} WHERE request_id = {1} AND NOT ended"


def tasks(*, state: str | None, label: str | None, limit: int) -> tuple[str, list[Any]]:
    """Return the query of a list of tasks, the last changed first, and its values."""
    given = {name: value for name, value in (("fsm_state", state), ("workflow", label)) if value is not None}
    where = " AND ".join(f"{name} = {{{place}}}" for place, name in enumerate(given, 1))
    query = (
        f"{_TASK} {'WHERE ' if where else ''}{where} ORDER BY updated_at DESC, request_id LIMIT {{{len(given) + 1}}}"
    )
    return query, [*given.values(), limit]


def of_workflow(name: str) -> tuple[str, str]:
    """Return the bounds of its labels, `name@version`: from the first on, below the second."""
    return f"{name}@", f"{name}A"  # the letter after the @
