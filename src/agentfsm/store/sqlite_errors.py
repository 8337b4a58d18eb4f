"""What SQLite says, as typed errors with stable codes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agentfsm.errors import StoreError

_CODES = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_FULL": "disk_full",
    "SQLITE_READONLY": "read_only",
    "SQLITE_CANTOPEN": "cannot_open",
    "SQLITE_CORRUPT": "corrupt_file",
    "SQLITE_NOTADB": "corrupt_file",
    "SQLITE_TOOBIG": "too_large",
    "SQLITE_CONSTRAINT": "constraint",
}
_HELP = {
    "locked": "another process was writing all the time",
    "disk_full": "make room and go on; what is stored is unharmed",
    "read_only": "nothing can be written there",
    "cannot_open": "the folder has to exist, and the file has to be readable",
    "corrupt_file": "restore a backup; `sqlite3 FILE .recover` saves what can be read",
}


REFUSALS = (sqlite3.Error, UnicodeError, OverflowError)
"""Whatever the driver raises where the file did not take a statement."""


def store_error(path: Path, error: Exception) -> StoreError:
    """Return the typed error of what a statement raised."""
    said = str(error)
    if isinstance(error, UnicodeError):
        return StoreError("a text with a lone surrogate cannot be stored; nothing was written", code="unstorable")
    if isinstance(error, OverflowError):
        return StoreError("an integer of more than 64 bits cannot be stored; nothing was written", code="unstorable")
    if "decode to UTF-8" in said:  # the driver's own; what follows is the text itself
        said = said.partition(" with text")[0]
        return StoreError(f"{path}: {said}; the row is damaged", code="corrupt_row", reason=said)
    name = getattr(error, "sqlite_errorname", "") or ""
    code = next((code for prefix, code in _CODES.items() if name.startswith(prefix)), StoreError.default_code)
    hint = f"; {_HELP[code]}" if code in _HELP else ""
    return StoreError(f"{path}: {said}{hint}", code=code, reason=said)
