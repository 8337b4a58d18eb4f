"""What a PostgreSQL database holds, and bringing its tables to the version of this program."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg

from agentfsm.errors import StoreError
from agentfsm.store.postgres_tables import TABLES
from agentfsm.store.schema import Schema, SchemaState, check_known, parts, statements

_LOCK = 0x6167656E7466736D
"""Of the advisory lock: of two that migrate, one waits."""
_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name IN ('meta', 'task')
"""


async def state_of(db: asyncpg.Connection, name: str, schema: Schema) -> SchemaState:
    """Return what the database holds; raise StoreError where it is not ours, or newer than this program can use."""
    found = {(table, column) for table, column in await db.fetch(_COLUMNS)}
    if not found:
        return SchemaState(None, None, schema.version)
    if not {("meta", "value"), ("meta", "key"), ("task", "fsm_state")} <= found:
        said = f"{name} has a table 'meta' or 'task' of another program"
        raise StoreError(f"{said}; name another database, or another schema as search_path", code="not_a_store")
    values = dict(await db.fetch("SELECT key, value FROM meta"))
    state = SchemaState(values.get("layout"), values.get("readable_by"), schema.version)
    check_known(name, state)
    return state


async def migrate(db: asyncpg.Connection, name: str, schema: Schema, *, contract: bool, wait_s: float) -> None:
    """Bring the tables to the version of `schema`, all in one transaction.

    Raises where their locks cannot be had within `wait_s`: a change that waited on would hold up every worker.
    """
    async with db.transaction():
        await db.execute("SELECT set_config('lock_timeout', $1, true)", f"{int(wait_s * 1000)}ms")
        await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        state = await state_of(db, name, schema)
        for statement in _to_do(state, schema, contract=contract):
            await db.execute(statement)


def _to_do(state: SchemaState, schema: Schema, *, contract: bool) -> Iterator[str]:
    if state.layout is None:
        yield from TABLES
    for part in parts(state, contract=contract):
        yield from statements(schema, "postgres", part)
        yield f"UPDATE meta SET value = {part.layout:d} WHERE key = 'layout'"
        yield f"UPDATE meta SET value = {part.readable_by:d} WHERE key = 'readable_by'"
