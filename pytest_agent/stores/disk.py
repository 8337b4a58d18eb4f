"""The files of an agent: what was written, what of it was flushed, and what a death leaves of both.

A process that dies in a test is not really dead: its `finally` blocks run, its connections close and write. So the
files are copied in the moment of death, and put back before the next process starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pytest_agent.faults.effect import Left
from pytest_agent.stores.torn import tear

Files = dict[str, bytes]
"""The bytes of each file by its path below the folder."""


class Disk:
    """The files below a folder that fit `pattern`. `watched` says that writes are to be remembered one by one."""

    def __init__(self, folder: Path, pattern: str = "**/*", *, watched: bool = False) -> None:
        self._folder = folder.resolve()
        self._inside = str(self._folder) + os.sep
        self._pattern = pattern
        self._watched = watched
        self._before: Files = {}
        self._flushed: Files = self._read() if watched else {}
        self._left: Files | None = None

    def name_of(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str | None:
        """The path below the folder; None for a file elsewhere."""
        whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links are followed only where they have to be
        if not whole.startswith(self._inside):
            whole = os.path.realpath(whole)
        return whole.removeprefix(self._inside) if whole.startswith(self._inside) else None

    def about_to_write(self) -> None:
        """A commit begins."""
        if self._watched:
            self._before = self._read()

    def flushed(self, name: str | None = None) -> None:
        """What is written now would survive a loss of power: of this file, or of all."""
        if not self._watched:
            return
        if name is None:
            self._flushed = self._read()
        else:
            self._flushed[name] = (self._folder / name).read_bytes()

    def renamed(self, old: str | None, new: str | None) -> None:
        """A file has another name now; what was flushed of it goes along, and nothing where nothing was."""
        kept = self._flushed.pop(old, None) if old is not None else None
        if new is not None and kept is not None:
            self._flushed[new] = kept

    def removed(self, name: str) -> None:
        """A file is gone."""
        self._flushed.pop(name, None)

    def with_inode(self, seen: os.stat_result) -> str | None:
        """The file that a descriptor stands for."""
        for path in self._paths():
            found = path.stat()
            if (found.st_dev, found.st_ino) == (seen.st_dev, seen.st_ino):
                return str(path.relative_to(self._folder))
        return None

    def die(self, left: Left) -> None:
        """Keep what the disk has in this moment. `torn` and `flushed` need a disk that is watched."""
        now = self._read()
        ways: dict[Left, Callable[[], Files]] = {
            "all": lambda: now,
            "torn": lambda: tear(self._before, now),
            "flushed": lambda: self._flushed,
        }
        self._left = ways[left]()

    def come_back(self) -> None:
        """Put back what the last death left, if there was one. Nothing may have the files open."""
        if self._left is None:
            return
        left, self._left = self._left, None
        for path in self._paths(everything=True):
            path.unlink()
        for name, data in left.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _read(self) -> Files:
        return {str(path.relative_to(self._folder)): path.read_bytes() for path in self._paths()}

    def _paths(self, *, everything: bool = False) -> list[Path]:
        # The index of a WAL is made anew by whoever comes first; it is memory, not a file.
        found = [path for path in self._folder.glob(self._pattern) if path.is_file() and not path.is_symlink()]
        return sorted(path for path in found if everything or not path.name.endswith("-shm"))
