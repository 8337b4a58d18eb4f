"""Many commits as one statement of SQLite, which takes it apart by a trigger while Python's other threads run.

The rows of a batch are inserted into a temporary view at once. The statement is a transaction of its own, flushed at
its end, and the interpreter lock is given back once for all of them, not once a statement of each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache

from agentfsm.errors import StoreError
from agentfsm.records import Commit, Receipt
from agentfsm.store.rows import STEP, STEP_ENDS, TASK_MOVES
from agentfsm.store.schema import Schema
from agentfsm.store.usual import COLUMNS, SYSTEM, TASK, row

_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")


def _set(prefix: str, names: Sequence[str]) -> str:
    return ", ".join(f"{name} = NEW.{prefix}_{name}" for name in names)


def _insert(table: str, prefix: str, names: Sequence[str], where: str) -> str:
    values = ", ".join(f"NEW.{prefix}_{name}" for name in names)
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} WHERE {where}"


def _refuse(why: str, where: str) -> str:
    return f"SELECT RAISE(ABORT, '{why}') WHERE {where}"


_VIEW = f"CREATE TEMP VIEW IF NOT EXISTS fused AS SELECT {', '.join(f'NULL AS {name}' for name in COLUMNS)}"
_TRIGGER = ";\n".join(
    (
        "CREATE TEMP TRIGGER IF NOT EXISTS take_apart INSTEAD OF INSERT ON fused BEGIN "
        + _insert("task", "task", TASK, "NEW.task_version = 1"),
        f"UPDATE task SET {_set('task', (*TASK_MOVES, *SYSTEM))} WHERE NEW.task_version > 1 "
        "AND request_id = NEW.task_request_id AND version = NEW.task_version - 1 AND fence = NEW.held",
        _refuse("the task moved on", "NEW.task_version > 1 AND changes() = 0"),
        f"UPDATE agent_steps SET {_set('end', STEP_ENDS)} WHERE request_id = NEW.task_request_id "
        "AND step_id = NEW.end_step_id AND attempt = NEW.end_attempt AND status = 'pending'",
        _refuse("the attempt is not pending", "NEW.end_step_id IS NOT NULL AND changes() = 0"),
        "SELECT RAISE(ABORT, 'the key is taken') FROM main.agent_steps "
        "WHERE request_id = NEW.task_request_id AND step_id = NEW.new_step_id "
        "AND (input_hash <> NEW.new_input_hash OR status = 'pending' OR status = 'success')",
        _insert("agent_steps", "new", STEP, "NEW.new_step_id IS NOT NULL"),
        "INSERT INTO audit (request_id, version, seq, at, data) SELECT NEW.task_request_id, NEW.task_version, 0, "
        "NEW.task_updated_at, NEW.entries WHERE NEW.entries IS NOT NULL",
        "END",
    )
)


def prepare(db: sqlite3.Connection) -> None:
    """Make the view and its trigger, which belong to this connection and are not in the file. Twice does no harm."""
    db.execute(_VIEW)
    db.execute(_TRIGGER)


def write_all(db: sqlite3.Connection, changes: Sequence[Commit], schema: Schema) -> list[Receipt] | None:
    """Write commits of different tasks that fit; return None where one of them is refused, and nothing is written.

    Raises sqlite3.Error where another process was writing all the time: nobody waits for it twice.
    """
    try:
        db.execute(_text(len(changes)), [value for change in changes for value in row(change, schema)])
    except Exception as error:
        if getattr(error, "sqlite_errorname", "").startswith(_BUSY):
            raise
        return None  # they are then written one by one, and whoever is at fault is told there
    names = [change.task.request_id for change in changes]
    try:
        (_, last), *asked = db.execute(_after(len(names)), names).fetchall()
    except Exception as error:
        said = f"the commits were written, and what others asked for could not be read: {error}"
        raise StoreError(said, code="unavailable") from error
    cancelled = {name for name, _ in asked}
    return [Receipt(change.task.version + 1, last, change.task.request_id in cancelled) for change in changes]


@cache
def _text(count: int) -> str:
    row = f"({', '.join('?' * len(COLUMNS))})"
    return f"INSERT INTO fused VALUES {', '.join([row] * count)}"


@cache
def _after(count: int) -> str:
    cancelled = f"SELECT request_id, 1 FROM task WHERE request_id IN ({', '.join('?' * count)}) AND cancel_requested"
    return f"SELECT NULL, value FROM meta WHERE key = 'controls' UNION ALL {cancelled}"
