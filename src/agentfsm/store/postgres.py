"""The PostgreSQL store: any number of workers on one database, one statement a commit. Extra: `postgres`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from agentfsm.contracts import compact
from agentfsm.errors import Conflict, StoreError
from agentfsm.records import Commit, Control, Inbound, Incident, Receipt, Step, Task
from agentfsm.store import postgres_fused, queries, refusals, rows
from agentfsm.store.gathering import Gathering
from agentfsm.store.packing import pack_control, plain
from agentfsm.store.postgres_pool import Database
from agentfsm.store.postgres_writes import refusal, statement
from agentfsm.store.queries import of_workflow
from agentfsm.store.rows import TASK, TASK_SYSTEM
from agentfsm.store.schema import Schema


def _text(query: str) -> str:
    return query.format("", "$1", "$2", "$3", arrival="seq", true="true")


_LOAD, _STEPS, _EVENT, _HELD, _AUDIT, _CONTROLS, _LAST_CHANGE, _INCIDENTS, _OUTCOMES, _CANCEL = map(
    _text,
    (
        queries.LOAD, queries.STEPS, queries.ONE_EVENT, queries.HELD, queries.AUDIT, queries.CONTROLS,
        queries.LAST_CHANGE, queries.INCIDENTS, queries.OUTCOMES, queries.CANCEL,
    ),
)  # fmt: skip
_FENCE = "SELECT fence FROM task WHERE request_id = $1"
_CLAIM = f"""
WITH due AS (
  SELECT request_id FROM task
  WHERE due_at <= $2 AND (owner IS NULL OR lease_until <= $2) AND readable_by <= $4 AND workflow = ANY($6::text[])
  ORDER BY due_at, request_id LIMIT $5 FOR UPDATE SKIP LOCKED),
taken AS (
  UPDATE task SET owner = $1, lease_until = $2 + $3, fence = fence + 1 FROM due WHERE task.request_id = due.request_id
  RETURNING due_at, {", ".join(f"task.{name}" for name in (*TASK, *TASK_SYSTEM))})
SELECT {", ".join((*TASK, *TASK_SYSTEM))} FROM taken ORDER BY due_at, request_id
"""
_SET_CONTROL = """
WITH changed AS (UPDATE meta SET value = value + 1 WHERE key = 'controls' RETURNING value),
written AS (
  INSERT INTO control SELECT $1::text, $2::text, 1 FROM changed WHERE $3::int IS NULL OR $3 = 0 OR EXISTS (
    SELECT 1 FROM control WHERE key = $1)
  ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = control.version + 1
  WHERE $3 IS NULL OR control.version = $3 RETURNING version),
noted AS (
  INSERT INTO audit (request_id, version, at, data) SELECT '', value, $4::float8, $5::text FROM changed, written)
SELECT version, CASE WHEN version IS NULL THEN agentfsm_refuse('control') END
FROM changed LEFT JOIN written ON true
"""


class PostgresStore:
    """Durable state in a database that `agentfsm migrate` has made ready.

    `pool_size` bounds the connections, `wait_s` every statement and every wait for a connection. Of one event loop.
    No lock is held longer than a statement. Raises StoreError with a stable code, see there.
    """

    def __init__(self, url: str, *, pool_size: int = 20, wait_s: float = 10.0, schema: Schema | None = None) -> None:
        self._schema = schema or Schema()
        self._database = Database(url, pool_size=pool_size, wait_s=wait_s, schema=self._schema)
        self._gathering = Gathering(self._together, self._alone)

    async def commit(self, change: Commit) -> Receipt:
        """Write all of it or nothing. A cancelled caller still waits for the transaction to end."""
        self._database.check_open()
        return await self._gathering.commit(change)

    async def _alone(self, change: Commit) -> Receipt:
        query, values = statement(change, self._schema)
        try:
            found = await self._database.run(query, *values)
        except asyncpg.PostgresError as error:
            raise refusal(change, str(error)) from None
        if not found:
            held = change.task.fence - change.claims
            stored = await self._database.run(_FENCE, change.task.request_id)
            raise refusals.moved_on(change.task, held, stored[0][0] if stored else None)
        cancel, controls, _ = found[0]
        return Receipt(change.task.version + change.moves, controls, cancel)

    async def _together(self, changes: Sequence[Commit]) -> list[Receipt] | None:
        try:
            given = postgres_fused.values(changes, self._schema)
        except Exception:  # noqa: BLE001 - each is tried by itself, and whoever is at fault is told there
            return None
        try:
            found = await self._database.run(postgres_fused.STATEMENT, *given)
        except asyncpg.PostgresError:  # refused: the same
            return None
        except StoreError as error:
            if error.code in {"unstorable", "too_large", "constraint"}:
                return None
            raise  # it may be written: each caller looks
        controls, cancelled, _ = found[0]
        return [Receipt(change.task.version + 1, controls, change.task.request_id in cancelled) for change in changes]

    async def load(self, request_id: str) -> Task | None:
        """Return the task, or None."""
        found = await self._database.read(_LOAD, request_id)
        return rows.task(found[0], self._schema) if found else None

    async def steps(self, request_id: str) -> list[Step]:
        """Return every attempt of every step, in order."""
        return [rows.step(row) for row in await self._database.read(_STEPS, request_id)]

    async def event(self, source: str, event_id: str) -> Inbound | None:
        """Return the event of that source and id, or None."""
        found = await self._database.read(_EVENT, source, event_id)
        return rows.event(found[0]) if found else None

    async def inbox(self, request_id: str) -> list[Inbound]:
        """Return the events that are held for a wait to come, as they arrived."""
        return [rows.event(row) for row in await self._database.read(_HELD, request_id)]

    async def audit(self, request_id: str) -> list[dict[str, Any]]:
        """Return the audit entries, in order, each with `version` and `at`; those of controls under ''."""
        return [entry for row in await self._database.read(_AUDIT, request_id) for entry in rows.audit(row)]

    async def claim(self, owner: str, labels: Sequence[str], now: float, lease_s: float, limit: int) -> list[Task]:
        """Take up to `limit` tasks that have something to do and nobody is at; see `ports.Store`."""
        found = await self._database.write(_CLAIM, owner, now, lease_s, self._schema.version, limit, list(labels))
        return rows.readable(found, self._schema)

    async def request_cancel(self, request_id: str) -> bool:
        """Ask that the task be cancelled; return whether it was still under way."""
        return bool(await self._database.write(f"{_CANCEL} RETURNING 1", request_id))

    async def controls(self) -> tuple[int, dict[str, Control]]:
        """Return the number of the last change, and every control by its key."""
        last = await self._database.read(_LAST_CHANGE)  # first: what changes in between is read anew, never missed
        return last[0][0], rows.controls(await self._database.read(_CONTROLS))

    async def set_control(self, key: str, value: Any, at: float, *, expected: int | None = None) -> int:
        """Write a control and an audit row of it; return its new version. Raise Conflict; see `ports.Store`."""
        plain(key)
        entry = compact([{"kind": "control", "key": key, "value": value}])
        try:
            found = await self._database.write(_SET_CONTROL, key, pack_control(value), expected, at, entry)
        except asyncpg.PostgresError:
            raise await self._control_moved_on(key, expected or 0) from None
        return int(found[0][0])

    async def tasks(self, *, state: str | None = None, label: str | None = None, limit: int = 50) -> list[Task]:
        """Return tasks, the last changed first."""
        query, given = queries.tasks(state=state, label=label, limit=limit)
        return [rows.task(row, self._schema) for row in await self._database.read(_text(query), *given)]

    async def outcomes(self, name: str) -> dict[str, dict[str, int]]:
        """Return how often live tasks of a workflow ended how, by label."""
        return rows.outcomes(await self._database.read(_OUTCOMES, *of_workflow(name)))

    async def incidents(self, *, limit: int = 100) -> list[Incident]:
        """Return incidents, the last first."""
        return [rows.incident(row) for row in await self._database.read(_INCIDENTS, limit)]

    async def close(self) -> None:
        """Let writes that are under way end, begin no others, and close all connections. Safe to call twice.

        Connections that do not end in `wait_s` are dropped.
        """
        self._database.refuse()
        await self._gathering.end()
        await self._database.close()

    async def _control_moved_on(self, key: str, expected: int) -> Conflict:
        _, found = await self.controls()
        known = found[key].version if key in found else 0
        return refusals.control_moved_on(key, known, expected)
