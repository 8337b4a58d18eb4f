"""A site: one occurrence at a seam in one run, and its text form.

    llm[conversation]#n/attempt    tool:name#n/attempt    store:commit#n.before|after    process@<site>

Parts that are 1 or default are left out: `llm#2`, `tool:payments.refund#1/2`. A site with no number stands for the
first one: `tool:payments.refund`. Its identity is the logical call, never the order of arrival.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from pytest_agent.errors import UsageError

Phase = Literal["before", "after"]

_SITE = re.compile(
    r"""
    (?P<seam>llm|tool|store|event|tcp|clock)
    (?:\[(?P<conversation>[^\]\s;]+)\])?
    (?::(?P<name>[^\s#;()@]+))?
    (?:\#(?P<n>[1-9]\d{0,8}))?
    (?:/(?P<attempt>[1-9]\d{0,3}))?
    (?:\.(?P<phase>before|after))?
    """,
    re.VERBOSE,
)
_NAMED = {"tool", "store", "event", "tcp"}
_EXPECTED = (
    "expected llm[conversation]#n/attempt, tool:name#n/attempt, store:commit#n.before|after or process@<site>, "
    "such as 'tool:payments.refund#1'"
)


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """Where a fault strikes. `n` counts logical calls from 1, `attempt` the tries of one of them."""

    seam: str
    name: str = ""
    n: int = 1
    attempt: int = 1
    phase: Phase | None = None
    process: bool = False

    def __str__(self) -> str:
        text = self.seam
        if self.name:
            text += f"[{self.name}]" if self.seam == "llm" else f":{self.name}"
        text += f"#{self.n}"
        if self.attempt != 1:
            text += f"/{self.attempt}"
        if self.phase:
            text += f".{self.phase}"
        return f"process@{text}" if self.process else text

    @classmethod
    def parse(cls, text: str) -> Site:
        """Read the text form. Raises UsageError that shows what was expected."""
        process, at, rest = text.strip().partition("@")
        if at and process != "process":
            raise UsageError(f"site {text!r}: only 'process@' may stand before a site; {_EXPECTED}")
        body = rest if at else process
        match = _SITE.fullmatch(body)
        if match is None:
            raise UsageError(f"site {text!r} is not of the form of a site; {_EXPECTED}")
        seam, name = match["seam"], match["name"] or ""
        if seam in _NAMED and not name:
            raise UsageError(
                f"site {text!r}: a {seam} site needs a name, such as '{seam}:payments.refund'; {_EXPECTED}"
            )
        if match["conversation"]:
            if seam != "llm" or name:
                raise UsageError(f"site {text!r}: only llm takes a [conversation]; {_EXPECTED}")
            name = match["conversation"]
        phase = match["phase"]
        if seam == "store" and phase is None:
            raise UsageError(f"site {text!r}: a store site needs .before or .after; {_EXPECTED}")
        if seam != "store" and phase is not None:
            raise UsageError(f"site {text!r}: .{phase} belongs to store sites only; {_EXPECTED}")
        return cls(
            seam=seam,
            name=name,
            n=int(match["n"] or 1),
            attempt=int(match["attempt"] or 1),
            phase=next((value for value in get_args(Phase) if value == phase), None),
            process=bool(at),
        )

    def at_process(self) -> Site:
        """The same place as a site of the process seam, where it can die."""
        return Site(self.seam, self.name, self.n, self.attempt, self.phase, process=True)
