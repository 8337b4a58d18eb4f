"""Claiming in SQLite: which tasks have something to do and nobody is at, and how one is taken."""

from __future__ import annotations

import sqlite3

_CANDIDATES = """
SELECT request_id FROM task
WHERE fsm_state NOT IN ('DONE', 'FAILED') AND workflow IN ({labels})
  AND (owner IS NULL OR lease_until <= ?)
  AND (next_run_at <= ? OR (next_run_at IS NULL AND fsm_state <> 'WAITING_EXTERNAL') OR cancel_requested = 1)
ORDER BY coalesce(next_run_at, updated_at) LIMIT ?
"""
_TAKE = "UPDATE task SET owner = ?, lease_until = ?, fence = fence + 1 WHERE request_id = ? RETURNING *"


def claim(
    db: sqlite3.Connection, owner: str, labels: tuple[str, ...], now: float, lease_s: float, limit: int
) -> list[sqlite3.Row]:
    """Take them inside the open transaction, which no other writer can be in; return their rows."""
    query = _CANDIDATES.format(labels=", ".join("?" * len(labels)))
    found = db.execute(query, (*labels, now, now, limit)).fetchall()
    return [db.execute(_TAKE, (owner, now + lease_s, row["request_id"])).fetchall()[0] for row in found]
