"""Where a store is: a file, or `sqlite:///...`, or `postgresql://...`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from agentfsm.errors import StoreError, did_you_mean

if TYPE_CHECKING:
    from agentfsm.ports import Store
    from agentfsm.store.schema import Schema

_SCHEMES = ("sqlite", "postgresql", "postgres")
_OPTIONS = {"mode": str, "busy_s": float}


def open_store(url: str, *, schema: Schema | None = None) -> Store:
    """Return the store of a URL; it connects when it is first used.

    A file (`tasks.db`, `sqlite:///tasks.db`, `sqlite:////var/tasks.db`, with `?mode=ro` for reading only and
    `?busy_s=30` for how long another process is waited for), or `postgresql://user@host/database`. Raises StoreError
    (`store_url`) where it is neither.
    """
    if is_postgres(url):
        return _postgres(url, schema)
    from agentfsm.store.sqlite import SQLiteStore

    path, options = sqlite_path(url)
    given: dict[str, Any] = {"busy_s": options["busy_s"]} if "busy_s" in options else {}
    return SQLiteStore(path, read_only=options.get("mode") == "ro", schema=schema, **given)


def is_postgres(url: str) -> bool:
    """Return whether the URL names a PostgreSQL database; raise StoreError where it names nothing we know."""
    scheme, mark, _ = url.partition("://")
    if not url.strip():
        raise _bad("the store has no name", "say --store tasks.db, or postgresql://host/database")
    if not mark:
        return False
    if scheme not in _SCHEMES:
        raise _bad(f"the store {masked(url)!r} begins with {scheme!r}", did_you_mean(scheme, _SCHEMES).strip())
    return scheme != "sqlite"


def sqlite_path(url: str) -> tuple[str, dict[str, Any]]:
    """Return the file of a URL that is no `postgresql://`, and its options."""
    if "://" not in url:
        return _checked(url), {}
    rest = url.removeprefix("sqlite://")
    path, _, query = rest.partition("?")
    if not path.startswith("/"):
        raise _bad(f"the store {url!r} names no file", f"three slashes lead to a path: 'sqlite:///{path}'")
    return _checked(unquote(path[1:])), _options(url, query)


def masked(url: str) -> str:
    """Return the URL without its password."""
    if "://" not in url:
        return url
    at = urlsplit(url)
    place = re.sub(r":[^@]*@", ":***@", at.netloc)
    query = re.sub(r"(?i)(pass\w*=)[^&]*", r"\1***", at.query)
    return urlunsplit((at.scheme, place, at.path, query, "")) if at.netloc or at.query else url


def _checked(path: str) -> str:
    if not path.strip() or path == ":memory:":
        raise _bad(f"the store {path!r} is no file", "name one: a task that does not outlive its process is lost")
    return path


def _options(url: str, query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise _bad(f"the store {url!r} has the option {name!r}", did_you_mean(name, _OPTIONS).strip())
        try:
            options[name] = _OPTIONS[name](value)
        except ValueError:
            raise _bad(f"the store {url!r} has {name}={value!r}", "say a number of seconds") from None
    if options.get("mode", "rw") not in {"ro", "rw"}:
        raise _bad(f"the store {url!r} has mode={options['mode']!r}", "say mode=ro, or leave it out")
    return options


def _postgres(url: str, schema: Schema | None) -> Store:
    require_driver(url)
    from agentfsm.store.postgres import PostgresStore

    return PostgresStore(url, schema=schema)


def require_driver(url: str) -> None:
    """Raise StoreError where the extra for PostgreSQL is not installed."""
    try:
        import asyncpg  # noqa: F401 - to see whether it is there
    except ImportError:
        raise _bad(
            f"the store {masked(url)!r} needs the extra `postgres`", "pip install 'pytest-agent-harness[postgres]'"
        ) from None


def _bad(found: str, edit: str) -> StoreError:
    return StoreError(f"{found}; {edit}", code="store_url")
