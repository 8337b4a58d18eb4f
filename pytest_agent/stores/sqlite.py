"""SQLite databases of an agent: every commit is a site, whoever makes it and in whatever thread.

A commit is `commit()`, the end of `with connection:`, a `COMMIT`, and a statement that writes outside a transaction.
`executescript` is one commit. The connection of a process that has died does nothing any more.
"""

from __future__ import annotations

import functools
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pytest_agent.stores.faults import Failure
from pytest_agent.stores.process import Process

_ARGUMENTS = ("database", "timeout", "detect_types", "isolation_level", "check_same_thread", "factory")
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_WRITES = _DML | {"CREATE", "DROP", "ALTER", "VACUUM", "REINDEX"}
_COMMITS = frozenset({"COMMIT", "END"})
_NOISE = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_WRITES_INSIDE = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_WRITES_AT_ONCE = re.compile(r"\bBEGIN\s+(?:IMMEDIATE|EXCLUSIVE)\b", re.IGNORECASE)
_CODES = {"full": sqlite3.SQLITE_FULL, "read-only": sqlite3.SQLITE_READONLY, "locked": sqlite3.SQLITE_BUSY}
_NAMES = {"full": "SQLITE_FULL", "read-only": "SQLITE_READONLY", "locked": "SQLITE_BUSY"}
_NORMAL = 1


def connect(real: Callable[..., sqlite3.Connection], process: Process, *args: Any, **kwargs: Any) -> sqlite3.Connection:
    """As `sqlite3.connect`; a database below the agent's folder is observed."""
    given = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
    name = _file(process, given.get("database"), uri=bool(given.get("uri")))
    factory = given.get("factory", sqlite3.Connection)
    if name is None or len(args) > len(_ARGUMENTS) or not isinstance(factory, type):
        return real(*args, **kwargs)
    process.check_alive()
    own_thread = threading.get_ident() if given.get("check_same_thread", True) else None
    # Whoever ends the process closes it, from another thread: whether this one may use it is checked here.
    made = real(**{**given, "factory": _observed(factory), "check_same_thread": False})
    made._pytest_agent = _Standing(process, name, own_thread, float(given.get("timeout", 5.0)))  # type: ignore[attr-defined]
    process.keep(made)
    return made


class _Standing:
    """What the harness knows of one connection."""

    def __init__(self, process: Process, name: str, thread: int | None, timeout_s: float) -> None:
        self.process = process
        self.name = name
        self.thread = thread
        self.timeout_s = timeout_s
        self.inside = False

    def check(self) -> None:
        self.process.check_alive()
        if self.thread is not None and self.thread != threading.get_ident():
            raise sqlite3.ProgrammingError(
                "SQLite objects created in a thread can only be used in that same thread. The object was created in "
                f"thread id {self.thread} and this is thread id {threading.get_ident()}."
            )


class ObservedConnection(sqlite3.Connection):
    """A connection that says when it commits."""

    _pytest_agent: _Standing

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        """One that is observed too."""
        self._pytest_agent.check()
        return super().cursor(_observed_cursor(factory) if isinstance(factory, type) else factory)

    def execute(self, *args: Any) -> Any:
        """As with a cursor of it."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """As with a cursor of it."""
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        """As with a cursor of it."""
        return self.cursor().executescript(*args)

    def commit(self) -> None:
        """A site where there is something to commit."""
        self._pytest_agent.check()
        with self._committing("COMMIT") if self.in_transaction else nullcontext():
            super().commit()

    def __exit__(self, kind: Any, error: Any, where: Any) -> Any:
        if kind is None:
            try:
                self.commit()
            except sqlite3.Error:
                super().rollback()
                raise
        elif not self._pytest_agent.process.is_dead:
            super().rollback()
        return False

    @contextmanager
    def _statement(self, sql: str) -> Iterator[None]:
        self._pytest_agent.check()
        word = _first_word(sql)
        writes = word in _WRITES or (word == "WITH" and bool(_WRITES_INSIDE.search(sql)))
        if writes or _WRITES_AT_ONCE.search(sql):
            self._refuse()
        ends = word in _COMMITS and self.in_transaction
        begins = self.isolation_level is not None and word in _DML and getattr(self, "autocommit", -1) == -1
        alone = writes and not self.in_transaction and not begins
        with self._committing(word) if (ends or alone) and not self._pytest_agent.inside else nullcontext():
            yield

    @contextmanager
    def _committing(self, label: str) -> Iterator[None]:
        standing = self._pytest_agent
        with standing.process.committing(standing.name, label, self._failed, self._flushes):
            standing.inside = True
            try:
                yield
            finally:
                standing.inside = False

    def _refuse(self) -> None:
        failure = self._pytest_agent.process.faults.holding("read-only", "locked")
        if failure is not None:
            raise self._failed(failure)

    def _failed(self, failure: Failure) -> sqlite3.OperationalError:
        if failure.condition == "locked":
            time.sleep(self._pytest_agent.timeout_s)
        if failure.condition == "full" and self.in_transaction:
            super().rollback()
        error = sqlite3.OperationalError(failure.reason)
        condition = failure.condition or "locked"
        error.sqlite_errorcode, error.sqlite_errorname = _CODES[condition], _NAMES[condition]
        return error

    def _flushes(self) -> bool:
        """Whether the settings of this connection flush every commit."""
        synchronous, mode = self._asked("PRAGMA synchronous"), self._asked("PRAGMA journal_mode")
        return bool(synchronous > _NORMAL or (synchronous == _NORMAL and mode != "wal"))

    def _asked(self, pragma: str) -> Any:
        cursor = super().cursor()
        cursor.row_factory = None
        return cursor.execute(pragma).fetchone()[0]


class ObservedCursor(sqlite3.Cursor):
    """A cursor whose statements are looked at."""

    connection: ObservedConnection

    def execute(self, sql: str, *args: Any) -> Any:
        """A site where it commits."""
        with self.connection._statement(sql):
            return super().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        """One site, also where every row is committed by itself."""
        with self.connection._statement(sql):
            return super().executemany(sql, *args)

    def executescript(self, sql: str) -> Any:
        """One site, after that of the transaction which it ends."""
        connection = self.connection
        connection.commit()
        writes = any(_first_word(part) in _WRITES for part in sql.split(";"))
        if writes:
            connection._refuse()
        with connection._committing("script") if writes else nullcontext():
            return super().executescript(sql)


@functools.cache
def _observed(factory: type) -> type:
    return type(
        factory.__name__,
        (ObservedConnection, factory) if factory is not sqlite3.Connection else (ObservedConnection,),
        {},
    )


@functools.cache
def _observed_cursor(factory: type) -> type:
    return type(factory.__name__, (ObservedCursor, factory) if factory is not sqlite3.Cursor else (ObservedCursor,), {})


def _file(process: Process, database: Any, *, uri: bool) -> str | None:
    """The path below the agent's folder; None for a database elsewhere or in memory."""
    if not isinstance(database, (str, bytes, os.PathLike)):
        return None
    path = os.fsdecode(database)
    if uri and path.startswith("file:"):
        parts = urlsplit(path)
        if parse_qs(parts.query).get("mode") == ["memory"]:
            return None
        path = unquote(parts.path)
    return None if path in ("", ":memory:") else process.disk.name_of(path)


def _first_word(sql: str) -> str:
    noise = _NOISE.match(sql)
    word = _WORD.match(sql, noise.end() if noise else 0)
    return word[0].upper() if word else ""
