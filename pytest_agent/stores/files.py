"""Plain files of an agent: whatever reaches the operating system is a commit, and so is a file that changes its name.

`open` gives a file whose every write that leaves its buffer is a site. A death before the first one leaves the file
empty, where it was opened with `w`.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import Any

from pytest_agent.stores.faults import Failure
from pytest_agent.stores.process import Process

_ERRNO = {"full": errno.ENOSPC, "read-only": errno.EROFS}


class ObservedFile(io.FileIO):
    """A file that says when something is written to it."""

    _process: Process
    _name: str

    def write(self, data: Any, /) -> Any:
        """A site. What a dead process has still in its buffers goes nowhere."""
        if self._process.is_dead:
            return len(memoryview(data).cast("B"))
        if self._process.has_ended:
            return super().write(data)
        with self._process.committing(self._name, f"write {self._name}", _error, _does_not_flush):
            return super().write(data)


def open_file(real: Callable[..., Any], process: Process, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
    """As `open`; a file below the agent's folder that is opened for writing is observed."""
    if not isinstance(file, (str, bytes, os.PathLike)) or not isinstance(mode, str) or not set(mode) & set("wax+"):
        return real(file, mode, *args, **kwargs)
    name = process.disk.name_of(file)
    if name is None:
        return real(file, mode, *args, **kwargs)
    process.check_alive()
    made = _layers(process, name, file, mode, *args, **kwargs)
    process.keep(made)
    return made


def _layers(
    process: Process,
    name: str,
    file: Any,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    raw = ObservedFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
    raw._process, raw._name = process, name
    if buffering == 0:
        if "b" not in mode:
            raw.close()
            raise ValueError("can't have unbuffered text I/O")
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
    if "b" in mode:
        return buffered
    text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]
    return text


def replace(real: Callable[..., None], process: Process, old: Any, new: Any, *args: Any, **kwargs: Any) -> None:
    """As `os.replace` and `os.rename`."""
    names = process.disk.name_of(old), process.disk.name_of(new)
    if names[1] is None:
        real(old, new, *args, **kwargs)
        return
    process.check_alive()
    with process.committing(names[1], f"replace {names[1]}", _error, _does_not_flush):
        real(old, new, *args, **kwargs)
        process.disk.renamed(*names)


def remove(real: Callable[..., None], process: Process, path: Any, *args: Any, **kwargs: Any) -> None:
    """As `os.remove` and `os.unlink`."""
    name = process.disk.name_of(path) if isinstance(path, (str, bytes, os.PathLike)) else None
    if name is None:
        real(path, *args, **kwargs)
        return
    process.check_alive()
    with process.committing(name, f"remove {name}", _error, _does_not_flush):
        real(path, *args, **kwargs)
        process.disk.removed(name)


def fsync(real: Callable[..., None], process: Process, file: Any) -> None:
    """As `os.fsync`: what the file holds now would survive a loss of power."""
    process.check_alive()
    real(file)
    name = process.disk.with_inode(os.fstat(file))
    if name is not None:
        process.disk.flushed(name)


def _error(failure: Failure) -> OSError:
    return OSError(_ERRNO.get(failure.condition or "", errno.EIO), failure.reason)


def _does_not_flush() -> bool:
    return False
