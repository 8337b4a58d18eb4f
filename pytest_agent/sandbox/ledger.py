"""The truth about effects: one line a change, on disk before the tool answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_agent.trace import plain


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed effect. `n` counts from 1; `key` is the idempotency key it came with, if any."""

    n: int
    tool: str
    arguments: dict[str, Any]
    key: str | None

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in sorted(self.arguments.items()))
        return f"ledger {self.n}: {self.tool}({inside}) key={self.key or 'none'}"


class Ledger:
    """The effects of one run, in the order of their commits. A run without effects has no file."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path = path
        self.entries: list[Entry] = []
        self._fd: int | None = None
        self._closed = False

    def commit(self, tool: str, arguments: Mapping[str, Any], key: str | None) -> Entry:
        """Write one effect. Raises RuntimeError after the run is over: nothing may act then."""
        if self._closed:
            raise RuntimeError(f"{tool} tried to change the world after the run was over")
        if self._fd is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        entry = Entry(len(self.entries) + 1, tool, dict(arguments), key)
        line = {"n": entry.n, "tool": tool, "arguments": plain(entry.arguments), "key": key}
        os.write(self._fd, json.dumps(line).encode() + b"\n")
        self.entries.append(entry)
        return entry

    def restore(self, entries: Iterable[dict[str, Any]]) -> None:
        """The effects that are on the ledger already."""
        for entry in entries:
            self.commit(entry["tool"], entry["arguments"], entry["key"])

    def of(self, tool: str, **arguments: object) -> list[Entry]:
        """The effects of a tool whose arguments include the given ones."""
        return [
            entry
            for entry in self.entries
            if entry.tool == tool and all(entry.arguments.get(name) == value for name, value in arguments.items())
        ]

    def count(self, tool: str, **arguments: object) -> int:
        """How often `of` finds one."""
        return len(self.of(tool, **arguments))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def close(self) -> None:
        """Idempotent."""
        self._closed = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
