"""A schedule: faults at sites, and the one line that says it.

    fault(param=value, param=value)@site; fault@site

The line is canonical: sorted, parameters in alphabetical order, so that two spellings of one schedule are equal.
`--chaos-replay` takes exactly this.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_agent.errors import UsageError
from pytest_agent.faults.site import Site

Param = str | int | float | bool

_FAULT = re.compile(r"\s*(?P<id>[a-z0-9][a-z0-9-]*)\s*(?:\((?P<params>[^()]*)\))?\s*@\s*(?P<site>[^;()\s]+)\s*")
_EXPECTED = "expected 'fault(param=value)@site; fault@site', such as 'reply-lost@tool:payments.refund#1'"
_LIMIT = 10_000
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
_RESERVED = re.compile(r"[;,()@=]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the catalogue at one site, with the parameters that differ from the entry's own."""

    id: str
    site: Site
    params: tuple[tuple[str, Param], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.site}"

    @property
    def name(self) -> str:
        """The fault with its parameters, without its site: `stream-clean-eof(after=3)`."""
        inside = ", ".join(f"{key}={_say(value)}" for key, value in sorted(self.params))
        return f"{self.id}({inside})" if inside else self.id

    def sort_key(self) -> tuple[Site, str, str]:
        """Canonical order: by site, then fault, then parameters."""
        return (_ordered(self.site), self.id, self.name)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults in canonical order. The empty schedule is the clean run."""

    faults: tuple[Fault, ...] = field(default=())

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Schedule:
        """The schedule of these faults, each once, in canonical order."""
        return cls(tuple(sorted(set(faults), key=Fault.sort_key)))

    def __str__(self) -> str:
        return "; ".join(str(fault) for fault in self.faults)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read the text form. Raises UsageError that quotes the part that does not fit."""
        if len(text) > _LIMIT:
            raise UsageError(f"the schedule has {len(text)} characters; at most {_LIMIT} are read")
        parts = [part for part in text.split(";") if part.strip()]
        if not parts:
            raise UsageError(f"the schedule is empty; {_EXPECTED}")
        return cls.of(_parse_fault(part) for part in parts)


def _parse_fault(text: str) -> Fault:
    match = _FAULT.fullmatch(text)
    if match is None:
        raise UsageError(f"{_quoted(text)} is not a fault at a site; {_EXPECTED}")
    params: dict[str, Param] = {}
    for pair in (match["params"] or "").split(","):
        if not pair.strip():
            continue
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals or not key.isidentifier() or not value:
            raise UsageError(f"{_quoted(text)}: parameter {_quoted(pair)} is not of the form name=value; {_EXPECTED}")
        if key in params:
            raise UsageError(f"{_quoted(text)}: parameter {key!r} is given twice; keep one")
        params[key] = _read(value)
    return Fault(match["id"], Site.parse(match["site"]), tuple(sorted(params.items())))


def _read(text: str) -> Param:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if isinstance(value, (bool, int, float, str)) else text


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _say(value: Param) -> str:
    """The value so that `_read` gives it back: text that looks like something else is quoted, as JSON quotes it."""
    if isinstance(value, str):
        if _BARE.fullmatch(value) and _read(value) is value:
            return value
        return _RESERVED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value)


def _quoted(text: str) -> str:
    short = text.strip()
    return repr(short if len(short) <= 120 else f"{short[:120]}…")


def _ordered(site: Site) -> Site:
    # `None` does not compare with a phase; "before" sorts after it as it should.
    return Site(site.seam, site.name, site.n, site.attempt, site.phase or "", site.process)  # type: ignore[arg-type]
