"""What PostgreSQL and its driver say, as typed errors with stable codes."""

from __future__ import annotations

import asyncpg

from agentfsm.errors import StoreError

_BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The latter where the server ended a connection that was just taken up again."""
FAILURES = (asyncpg.PostgresError, *_BROKEN, OSError, TimeoutError)
"""Whatever the driver raises where the database did not do its work."""

REFUSED = "AF001"
"""The SQLSTATE of a commit that the database was told to refuse; its message names the part."""

_CODES = {
    "53100": "disk_full",
    "25006": "read_only",
    "55P03": "locked",
    "57014": "locked",
    "40001": "locked",
    "40P01": "locked",
    "3D000": "cannot_open",
    "28000": "cannot_open",
    "28P01": "cannot_open",
    "42501": "cannot_open",
    "3F000": "cannot_open",
    "42P01": "old_schema",
    "42703": "old_schema",
    "42883": "old_schema",
    "XX001": "corrupt_file",
    "XX002": "corrupt_file",
    "22021": "unstorable",
    "54000": "too_large",
}
_GONE = ("08", "57P", "53")
"""Classes of errors of a server that is not there, is just going or coming, or has no room for another connection."""
_HELP = {
    "disk_full": "make room and go on; what is stored is unharmed",
    "old_schema": "its tables are not those of this program, see `agentfsm migrate --check`",
    "cannot_open": "see whether database, user and password are right, and whether the user may write",
}


def store_error(name: str, error: BaseException) -> StoreError:
    """Return the typed error of what the driver raised; `name` is the masked URL."""
    said = str(error) or type(error).__name__
    code = code_of(error)
    hint = f"; {_HELP[code]}" if code in _HELP else ""
    return StoreError(f"{name}: {said}{hint}", code=code, reason=said)


def code_of(error: BaseException) -> str:
    """Return the stable code."""
    state = getattr(error, "sqlstate", None) or ""
    if state in _CODES:
        return _CODES[state]
    if state.startswith(_GONE) or isinstance(error, (OSError, TimeoutError)):
        return "unavailable"
    if state.startswith("23"):
        return "constraint"
    if state.startswith("22") or isinstance(error, ValueError):  # the latter where the driver could not encode it
        return "unstorable"
    if isinstance(error, _BROKEN):
        return "unavailable"
    return StoreError.default_code
