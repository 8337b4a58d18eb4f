"""What is printed: lines for people, or with `--json` documents for programs.

Secrets are masked, the values of this process among them, and stored text cannot steer a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from agentfsm.errors import AgentError, ConfigError
from agentfsm.masking import Bounds, Masker

_BOUNDS = Bounds(text=100_000, items=100_000, depth=40, total=20_000_000)
"""What is stored is bounded already: nobody who asks for a task wants part of it."""


class Output:
    """Prints to `out`, errors to `err`, as JSON where `as_json`."""

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool) -> None:
        self._out = out
        self._err = err
        self._masker = Masker.of_environment(bounds=_BOUNDS)
        self.as_json = as_json

    def say(self, document: Mapping[str, Any], lines: Iterable[str], *, masked: bool = False) -> None:
        """Print the one document of a command, or its lines; `masked` where they hold no secret already."""
        if self.as_json:
            self._out.write(f"{_json(document if masked else self._masker(document), indent=2)}\n")
            return
        for line in lines:
            self._out.write(f"{safe(line if masked else self._masker.text(line))}\n")

    def tell(self, document: Mapping[str, Any], line: str) -> None:
        """Print one of many: a document on one line, or a line."""
        self._out.write(f"{_json(self._masker(document)) if self.as_json else safe(self._masker.text(line))}\n")
        self._out.flush()

    def error(self, error: AgentError) -> None:
        """Print an error: each of its lines, or `{"error": {"code", "message", ...}}`."""
        masked = isinstance(error, ConfigError)  # it names variables and never repeats a value
        if self.as_json:
            facts = {name: value for name, value in error.fields.items() if name not in {"code", "message"}}
            found = {"error": {"code": error.code, "message": str(error), **facts}}
            self._err.write(f"{_json(found if masked else self._masker(found))}\n")
            return
        for line in str(error).splitlines() or [error.code]:
            self._err.write(f"agentfsm: {safe(line if masked else self._masker.text(line))}\n")


def safe(text: str) -> str:
    r"""Return text on one line in which every character is a visible one: others are written as `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def table(rows: Iterable[Sequence[object]], indent: str = "") -> list[str]:
    """Return rows as aligned columns; None is empty."""
    cells = [["" if cell is None else safe(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))] if cells else []
    return [indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def when(at: float | None) -> str:
    """Return a time in UTC to the millisecond, `-` where there is none."""
    if at is None:
        return "-"
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    except (OverflowError, ValueError, OSError):
        return f"{at:g}"


def inline(value: object) -> str:
    """Return a value on one line: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else _json(value)


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f")
