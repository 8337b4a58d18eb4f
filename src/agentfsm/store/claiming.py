"""Claiming in SQLite: which tasks have something to do and nobody is at, and how they are taken."""

from __future__ import annotations

import sqlite3
from typing import Any

from agentfsm.store.rows import TASK, TASK_SYSTEM

_TAKE = f"""
UPDATE task SET owner = ?1, lease_until = ?2 + ?3, fence = fence + 1
WHERE request_id IN (
  SELECT request_id FROM task
  WHERE due_at <= ?2 AND (owner IS NULL OR lease_until <= ?2) AND readable_by <= ?4 AND workflow IN ({{labels}})
  ORDER BY due_at, request_id LIMIT ?5)
RETURNING due_at, {", ".join((*TASK, *TASK_SYSTEM))}
"""


def claim(
    db: sqlite3.Connection, owner: str, labels: tuple[str, ...], now: float, lease_s: float, limit: int, version: int
) -> list[tuple[Any, ...]]:
    """Take them inside the open transaction, which no other writer can be in; return their rows, longest due first."""
    query = _TAKE.format(labels=", ".join(f"?{place}" for place in range(6, 6 + len(labels))) or "NULL")
    found = db.execute(query, (owner, now, lease_s, version, limit, *labels)).fetchall()
    return [row[1:] for row in sorted(found, key=lambda row: (row[0], row[1]))]
