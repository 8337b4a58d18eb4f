"""Stand between the agents of this process and their files, while at least one of them lives."""

from __future__ import annotations

import builtins
import functools
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_agent.patches import Patches
from pytest_agent.stores import files, sqlite
from pytest_agent.stores.process import PROCESSES, Process
from pytest_agent.whose import Ambiguous

_WAYS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (sqlite3, "connect", sqlite.connect),
    (sqlite3.dbapi2, "connect", sqlite.connect),
    (builtins, "open", files.open_file),
    (io, "open", files.open_file),
    (os, "replace", files.replace),
    (os, "rename", files.replace),
    (os, "remove", files.remove),
    (os, "unlink", files.remove),
    (os, "fsync", files.fsync),
)


class _Patched:
    """What is patched in this process."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._opened = 0

    def open(self) -> None:
        self._opened += 1
        if self._opened == 1:
            for owner, name, way in _WAYS:
                self._patches.put(owner, name, _asking(getattr(owner, name), way))

    def close(self) -> None:
        self._opened -= 1
        if not self._opened:
            self._patches.undo()


_PATCHED = _Patched()


@contextmanager
def observed(process: Process) -> Iterator[None]:
    """What is opened inside is the process' own, and closed when it ends."""
    _PATCHED.open()
    PROCESSES.enter(process)
    try:
        yield
    finally:
        PROCESSES.leave(process)
        _PATCHED.close()
        process.end()


def _asking(real: Callable[..., Any], way: Callable[..., Any]) -> Callable[..., Any]:
    """The real one where nobody lives here; where it cannot be told who, nobody is observed."""

    @functools.wraps(real)
    def ask(*args: Any, **kwargs: Any) -> Any:
        try:
            process = PROCESSES.current()
        except Ambiguous:
            process = None
        return real(*args, **kwargs) if process is None else way(real, process, *args, **kwargs)

    return ask
