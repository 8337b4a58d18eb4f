"""Opening a SQLite file: WAL, its tables made or brought up to date, or refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from agentfsm.errors import StoreError
from agentfsm.store.schema import BASE, Schema, SchemaState, check_current, check_known, parts, statements
from agentfsm.store.sqlite_tables import COPY_1, SET_ASIDE_1, TABLES

_WAL_TRIES = 20


def open_writer(path: Path, busy_s: float, schema: Schema, *, contract: bool = False) -> sqlite3.Connection:
    """Open for writing; make the tables, or migrate those of an older version. All of it is one transaction."""
    db = connect(str(path), busy_s)
    try:
        _switch_to_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        state = state_of(db, path, schema)
        if state.behind or (contract and state.expanded):
            _migrate(db, path, schema, contract=contract)
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path, busy_s: float, schema: Schema) -> sqlite3.Connection:
    """Open for reading beside the writer, which is never waited for. Raise StoreError where it cannot be used."""
    db = connect(f"{path.absolute().as_uri()}?mode=ro", busy_s, uri=True)
    try:
        check_current(f"{path}, which may only be read,", state_of(db, path, schema), f"--store {path}")
    except BaseException:
        db.close()
        raise
    return db


def state_of(db: sqlite3.Connection, path: Path, schema: Schema) -> SchemaState:
    """Return what the file holds; raise StoreError where it is not ours, or newer than this program can use."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "meta" in tables:
        values = dict(db.execute("SELECT key, value FROM meta").fetchall())
        state = SchemaState(values.get("layout"), values.get("readable_by"), schema.version)
    elif "task" in tables:
        state = SchemaState(1, 1, schema.version)
        columns = {row[1] for row in db.execute("PRAGMA table_info(task)")}
        if "fsm_state" not in columns:
            raise StoreError(f"{path} has a table 'task' of another program; name another file", code="not_a_store")
    else:
        state = SchemaState(None, None, schema.version)
    check_known(str(path), state)
    return state


def connect(name: str, busy_s: float, *, uri: bool = False) -> sqlite3.Connection:
    """Connect as all of us do: transactions are said explicitly."""
    return sqlite3.connect(name, timeout=busy_s, isolation_level=None, check_same_thread=False, uri=uri)


def _migrate(db: sqlite3.Connection, path: Path, schema: Schema, *, contract: bool) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        state = state_of(db, path, schema)  # again: another process may have been faster
        for statement in _to_do(state, schema, contract=contract):
            db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _to_do(state: SchemaState, schema: Schema, *, contract: bool) -> Iterator[str]:
    if state.layout is None:
        yield from TABLES
    elif state.layout < BASE:
        yield from (*SET_ASIDE_1, *TABLES, *COPY_1)
        state = SchemaState(BASE, BASE, schema.version)
    for part in parts(state, contract=contract):
        yield from statements(schema, "sqlite", part)
        yield f"UPDATE meta SET value = {part.layout:d} WHERE key = 'layout'"
        yield f"UPDATE meta SET value = {part.readable_by:d} WHERE key = 'readable_by'"


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL; two processes doing so at once get `locked` in spite of the busy timeout."""
    for left in reversed(range(_WAL_TRIES)):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or not left:
                raise
            db.execute("BEGIN IMMEDIATE")  # waits for the other process under the busy timeout
            db.execute("ROLLBACK")
        else:
            return
