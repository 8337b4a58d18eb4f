"""Opening a SQLite file: WAL, its layout brought up to date, or refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agentfsm.errors import StoreError
from agentfsm.store.schema import COPY_FROM_1, FROM_1, LAYOUT, TABLES

_WAL_TRIES = 20


def open_writer(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open for writing; make the tables, or migrate those of an older layout. All of it is one transaction."""
    db = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        _switch_to_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        if db.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
            _migrate(db, path)
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open for reading beside the writer, which is never waited for."""
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
    )
    db.row_factory = sqlite3.Row
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        layout = db.execute("PRAGMA user_version").fetchone()[0]  # again: another process may have been faster
        old = layout == 0 and db.execute("SELECT 1 FROM sqlite_master WHERE name = 'task'").fetchone() is not None
        _check_known(path, layout)
        if layout < LAYOUT:
            for script in (FROM_1 if old else "", TABLES, COPY_FROM_1 if old else ""):
                for statement in script.split(";\n"):
                    if statement.strip():
                        db.execute(statement)
            db.execute(f"PRAGMA user_version = {LAYOUT}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _check_known(path: Path, layout: int) -> None:
    if layout > LAYOUT:
        said = f"{path} has layout {layout}, this version knows {LAYOUT}; nothing was changed"
        raise StoreError(f"{said}. Run a newer agentfsm on it", code="newer_schema")


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
