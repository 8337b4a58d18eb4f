"""Records to rows and back: a column is named after its field. Plain JSON only."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields
from typing import Any

from agentfsm.contracts import canonical
from agentfsm.errors import StoreError
from agentfsm.records import Inbound, Step, Task
from agentfsm.states import State
from agentfsm.store.schema import SCHEMA_VERSION

_JSON = frozenset({"business_state", "budget_used", "input_data", "output_data", "ending", "asked"})


def pack(value: Any) -> str | None:
    """Return a value as JSON text, None as NULL."""
    return None if value is None else canonical(value)


def of(record: Task | Step) -> dict[str, Any]:
    """Return the row of a record."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: pack(value) if name in _JSON else value for name, value in values.items() if name != "cancel_requested"
    }


def _fields(kind: type[Task] | type[Step], row: sqlite3.Row) -> dict[str, Any]:
    values = {field.name: row[field.name] for field in fields(kind)}
    return {k: json.loads(v) if k in _JSON and v is not None else v for k, v in values.items()}


def task(row: sqlite3.Row) -> Task:
    """Return the task; refuse a row that a newer version wrote."""
    if row["schema_version"] > SCHEMA_VERSION:
        said = f"task {row['request_id']!r} has schema {row['schema_version']}, known is {SCHEMA_VERSION}"
        raise StoreError(said, code="newer_schema")
    return Task(
        **{
            **_fields(Task, row),
            "fsm_state": State(row["fsm_state"]),
            "cancel_requested": bool(row["cancel_requested"]),
        }
    )


def step(row: sqlite3.Row) -> Step:
    """Return the step."""
    return Step(**_fields(Step, row))


def event(row: sqlite3.Row) -> Inbound:
    """Return the event."""
    payload = None if row["payload"] is None else json.loads(row["payload"])
    return Inbound(row["source"], row["event_id"], row["kind"], payload, row["reason"])
