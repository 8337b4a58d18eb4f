"""The SQLite store: one file, one writer with group commit, one reader beside it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from agentfsm.records import Commit, Control, Inbound, Incident, Receipt, Step, Task
from agentfsm.store import claiming, queries, rows, usual, writes
from agentfsm.store.queries import of_workflow
from agentfsm.store.schema import Schema
from agentfsm.store.sqlite_file import SQLiteFile


def _text(query: str) -> str:
    return query.format("", "?1", "?2", "?3", arrival="rowid", true="1")


_LOAD, _STEPS, _EVENT, _HELD, _AUDIT, _CONTROLS, _LAST_CHANGE, _INCIDENTS, _OUTCOMES, _CANCEL = map(
    _text,
    (
        queries.LOAD, queries.STEPS, queries.ONE_EVENT, queries.HELD, queries.AUDIT, queries.CONTROLS,
        queries.LAST_CHANGE, queries.INCIDENTS, queries.OUTCOMES, queries.CANCEL,
    ),
)  # fmt: skip


class SQLiteStore:
    """Durable state in one file. `busy_s` is how long a transaction waits for another process.

    Every flush reaches the disk (WAL, synchronous=FULL): a lost intent would allow a second effect. A file of an older
    version is brought up to date when it is opened, in one transaction, and stays usable by workers of the version
    before; `schema` is what this worker knows. With `read_only`, nothing is ever written. May be used from several
    event loops. Raises StoreError with a stable code, see there.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        busy_s: float = 10.0,
        schema: Schema | None = None,
        read_only: bool = False,
    ) -> None:
        self._schema = schema or Schema()
        self._file = SQLiteFile(Path(path), busy_s=busy_s, schema=self._schema, read_only=read_only)

    @property
    def path(self) -> Path:
        """The file; beside it lies its write-ahead log."""
        return self._file.path

    async def commit(self, change: Commit) -> Receipt:
        """Write all of it or nothing. A cancelled caller still waits for the transaction to end."""
        schema = self._schema
        return await self._file.write(
            lambda db: writes.write(db, change, schema), change if usual.fits(change) else None
        )

    async def load(self, request_id: str) -> Task | None:
        """Return the task, or None."""
        found = await self._file.rows(_LOAD, request_id)
        return rows.task(found[0], self._schema) if found else None

    async def steps(self, request_id: str) -> list[Step]:
        """Return every attempt of every step, in order."""
        return [rows.step(row) for row in await self._file.rows(_STEPS, request_id)]

    async def event(self, source: str, event_id: str) -> Inbound | None:
        """Return the event of that source and id, or None."""
        found = await self._file.rows(_EVENT, source, event_id)
        return rows.event(found[0]) if found else None

    async def inbox(self, request_id: str) -> list[Inbound]:
        """Return the events that are held for a wait to come, as they arrived."""
        return [rows.event(row) for row in await self._file.rows(_HELD, request_id)]

    async def audit(self, request_id: str) -> list[dict[str, Any]]:
        """Return the audit entries, in order, each with `version` and `at`; those of controls under ''."""
        return [entry for row in await self._file.rows(_AUDIT, request_id) for entry in rows.audit(row)]

    async def claim(self, owner: str, labels: Sequence[str], now: float, lease_s: float, limit: int) -> list[Task]:
        """Take up to `limit` tasks that have something to do and nobody is at; see `ports.Store`."""
        given = (owner, tuple(labels), now, lease_s, limit, self._schema.version)
        return rows.readable(await self._file.write(lambda db: claiming.claim(db, *given)), self._schema)

    async def request_cancel(self, request_id: str) -> bool:
        """Ask that the task be cancelled; return whether it was still under way."""
        return await self._file.write(lambda db: db.execute(_CANCEL, (request_id,)).rowcount == 1)

    async def controls(self) -> tuple[int, dict[str, Control]]:
        """Return the number of the last change, and every control by its key."""
        last = await self._file.rows(_LAST_CHANGE)  # first: what changes in between is read anew, never missed
        return last[0][0], rows.controls(await self._file.rows(_CONTROLS))

    async def set_control(self, key: str, value: Any, at: float, *, expected: int | None = None) -> int:
        """Write a control and an audit row of it; return its new version. Raise Conflict; see `ports.Store`."""
        return await self._file.write(lambda db: writes.set_control(db, Control(key, value), at, expected))

    async def tasks(self, *, state: str | None = None, label: str | None = None, limit: int = 50) -> list[Task]:
        """Return tasks, the last changed first."""
        query, given = queries.tasks(state=state, label=label, limit=limit)
        return [rows.task(row, self._schema) for row in await self._file.rows(_text(query), *given)]

    async def outcomes(self, name: str) -> dict[str, dict[str, int]]:
        """Return how often live tasks of a workflow ended how, by label."""
        return rows.outcomes(await self._file.rows(_OUTCOMES, *of_workflow(name)))

    async def incidents(self, *, limit: int = 100) -> list[Incident]:
        """Return incidents, the last first."""
        return [rows.incident(row) for row in await self._file.rows(_INCIDENTS, limit)]

    async def close(self) -> None:
        """Let what is under way end, close the file and end both threads. Safe to call twice."""
        await self._file.close()
