"""Many commits as one statement of PostgreSQL: each column is an array, each commit a place in all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agentfsm.records import Commit
from agentfsm.store.rows import STEP, STEP_ENDS, TASK_MOVES
from agentfsm.store.schema import Schema
from agentfsm.store.usual import COLUMNS, SYSTEM, TASK, row

_TYPES = {
    "int8": {"task_fence", "held"},
    "int4": {
        "task_schema_version", "task_readable_by", "task_version", "task_attempt", "task_depth", "end_step_id",
        "end_attempt", "new_step_id", "new_attempt", "new_undoes", "new_stands_in_for", "new_tool_version",
    },
    "float8": {
        "task_wait_until", "task_waited_s", "task_next_run_at", "task_lease_until", "task_created_at",
        "task_updated_at", "end_finished_at", "new_created_at", "new_finished_at", "new_not_before",
    },
}  # fmt: skip


def _type(column: str) -> str:
    return next((kind for kind, names in _TYPES.items() if column in names), "text")


def _set(prefix: str, names: Iterable[str]) -> str:
    return ", ".join(f"{name} = {prefix}_{name}" for name in names)


def _insert(table: str, prefix: str, names: Sequence[str], where: str) -> str:
    values = ", ".join(f"{prefix}_{name}" for name in names)
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM given WHERE {where}"


_ARRAYS = ", ".join(f"${place}::{_type(name)}[]" for place, name in enumerate(COLUMNS, 1))
STATEMENT = f"""
WITH given AS MATERIALIZED (SELECT * FROM unnest({_ARRAYS}) AS given ({", ".join(COLUMNS)})),
mine AS (
  SELECT 1 FROM task, given WHERE task_version > 1 AND request_id = task_request_id
  FOR NO KEY UPDATE OF task SKIP LOCKED),
started AS ({_insert("task", "task", TASK, "task_version = 1")} ON CONFLICT DO NOTHING RETURNING 1),
moved AS (
  UPDATE task SET {_set("task", (*TASK_MOVES, *SYSTEM))} FROM given
  WHERE task_version > 1 AND request_id = task_request_id AND version = task_version - 1 AND fence = held
  AND (SELECT count(*) FROM mine) = (SELECT count(*) FROM given WHERE task_version > 1)
  RETURNING request_id, cancel_requested),
ended AS (
  UPDATE agent_steps SET {_set("end", STEP_ENDS)} FROM given
  WHERE request_id = task_request_id AND step_id = end_step_id AND attempt = end_attempt AND status = 'pending'
  RETURNING 1),
begun AS (
  {_insert("agent_steps", "new", STEP, "new_step_id IS NOT NULL")} AND NOT EXISTS (
    SELECT 1 FROM agent_steps WHERE request_id = task_request_id AND step_id = new_step_id
    AND (input_hash <> new_input_hash OR status IN ('pending', 'success')))
  ON CONFLICT DO NOTHING RETURNING 1),
noted AS (
  INSERT INTO audit (request_id, version, at, data)
  SELECT task_request_id, task_version, task_updated_at, entries FROM given WHERE entries IS NOT NULL)
SELECT (SELECT value FROM meta WHERE key = 'controls'), ARRAY(SELECT request_id FROM moved WHERE cancel_requested),
  CASE WHEN (SELECT count(*) FROM started) + (SELECT count(*) FROM moved) <> (SELECT count(*) FROM given)
    OR (SELECT count(*) FROM ended) <> (SELECT count(end_step_id) FROM given)
    OR (SELECT count(*) FROM begun) <> (SELECT count(new_step_id) FROM given)
  THEN agentfsm_refuse('fused') END
"""
"""Its parts see the rows as they were before; where one found less to do than it was given, all of it is refused.

So it is where somebody else is at one of the tasks: the others would wait with it, and two batches for each other.
"""


def values(changes: Sequence[Commit], schema: Schema) -> list[Sequence[Any]]:
    """Return the arrays of commits that fit. Their order is one of names: who starts the same tasks waits in it too."""
    ordered = sorted(changes, key=lambda change: change.task.request_id)
    return list(zip(*(row(change, schema) for change in ordered), strict=True))
