"""Bringing a store to the schema of this program, and saying what it has: what `agentfsm migrate` does."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

from agentfsm.store.opening import connect, open_writer
from agentfsm.store.opening import state_of as sqlite_state
from agentfsm.store.schema import Schema, SchemaState
from agentfsm.store.sqlite_errors import store_error
from agentfsm.store.urls import is_postgres, masked, require_driver, sqlite_path

Do = Literal["look", "expand", "contract"]


async def schema_state(url: str, *, schema: Schema | None = None) -> SchemaState:
    """Return what a store has, and change nothing. Raise StoreError, `newer_schema` where it is beyond this program."""
    known = schema or Schema()
    if is_postgres(url):
        return await _postgres(url, known, "look", 10.0)
    path, _ = sqlite_path(url)
    return await asyncio.to_thread(_sqlite, Path(path), known, "look", 10.0)


async def migrate(
    url: str, *, contract: bool = False, wait_s: float = 10.0, schema: Schema | None = None
) -> SchemaState:
    """Bring a store to the schema of this program, and return what it has now. Workers may go on meanwhile.

    It stays usable by workers of the version before. With `contract`, what only they need is removed, and they are
    refused from then on: do so once none is left. All of it is one transaction: where it fails or is killed, nothing
    was changed. `wait_s` is how long others are waited for. Raises StoreError.
    """
    known = schema or Schema()
    do: Do = "contract" if contract else "expand"
    if is_postgres(url):
        return await _postgres(url, known, do, wait_s)
    path, _ = sqlite_path(url)
    return await asyncio.to_thread(_sqlite, Path(path), known, do, wait_s)


def _sqlite(path: Path, schema: Schema, do: Do, wait_s: float) -> SchemaState:
    try:
        if do != "look":
            open_writer(path, wait_s, schema, contract=do == "contract").close()
        elif not path.exists():
            return SchemaState(None, None, schema.version)
        with closing(connect(f"{path.absolute().as_uri()}?mode=ro", wait_s, uri=True)) as db:
            return sqlite_state(db, path, schema)
    except sqlite3.Error as error:
        raise store_error(path, error) from error


async def _postgres(url: str, schema: Schema, do: Do, wait_s: float) -> SchemaState:
    require_driver(url)
    import asyncpg

    from agentfsm.store import postgres_layout as layout
    from agentfsm.store.postgres_errors import FAILURES
    from agentfsm.store.postgres_errors import store_error as postgres_error

    name = masked(url)
    try:
        db = await asyncpg.connect(url, timeout=wait_s)
        try:
            if do != "look":
                await layout.migrate(db, name, schema, contract=do == "contract", wait_s=wait_s)
            return await layout.state_of(db, name, schema)
        finally:
            await db.close()
    except FAILURES as error:
        raise postgres_error(name, error) from error
