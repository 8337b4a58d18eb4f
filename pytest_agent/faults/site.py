"""A site: one occurrence at a seam in one run, and its text form.

    llm[conversation]#n/attempt    tool:name#n/attempt    store:commit#n.before|after    event:kind#n    process@<site>
    clock:ready#n

Parts that are 1 or default are left out: `llm#2`, `tool:payments.refund#1/2`. A site with no number stands for the
first one: `tool:payments.refund`. Its identity is the logical call, never the order of arrival. What a name may not
hold here, white space and punctuation of this form and of shells, is written as in a URL: `tool:pay%20back#1`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote, unquote

from pytest_agent.errors import UsageError, did_you_mean

Phase = Literal["before", "after"]

_SITE = re.compile(
    r"""
    (?P<seam>[a-z]+)
    (?:\[(?P<conversation>[^\s\#;()@\[\]/]+)\])?
    (?::(?P<name>[^\s\#;()@\[\]/]+?))?
    (?:\#(?P<n>[1-9][0-9]{0,8}))?
    (?:/(?P<attempt>[1-9][0-9]{0,3}))?
    (?:\.(?P<phase>before|after))?
    """,
    re.VERBOSE,
)
_SEAMS = ("clock", "event", "llm", "store", "tcp", "tool")
_NAMED = {"tool", "store", "event", "tcp"}
_NAMED_OR_NOT = {"clock"}
_UNSAFE = re.compile(r"""[\s\x00-\x1f\x7f#;()@%\[\]/"'$`\\]""")
_EXPECTED = (
    "expected llm[conversation]#n/attempt, tool:name#n/attempt, store:commit#n.before|after, event:kind#n, "
    "clock:ready#n or process@<site>, "
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
            name = _UNSAFE.sub(lambda found: quote(found[0], safe=""), self.name)
            text += f"[{name}]" if self.seam == "llm" else f":{name}"
        text += f"#{self.n}"
        if self.attempt != 1:
            text += f"/{self.attempt}"
        if self.phase:
            text += f".{self.phase}"
        return f"process@{text}" if self.process else text

    @classmethod
    @functools.lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Site:
        """Read the text form. Raises UsageError that shows what was expected."""
        process, at, rest = text.strip().partition("@")
        if at and process != "process":
            raise UsageError(f"site {_short(text)}: only 'process@' may stand before a site; {_EXPECTED}")
        body = rest if at else process
        match = _SITE.fullmatch(body)
        if match is None:
            raise UsageError(f"site {_short(text)} is not of the form of a site; {_EXPECTED}")
        seam, name = match["seam"], unquote(match["name"] or "")
        if seam not in _SEAMS:
            raise UsageError(f"site {_short(text)}: there is no seam {seam!r}.{did_you_mean(seam, _SEAMS)}")
        if name and seam not in _NAMED | _NAMED_OR_NOT:
            raise UsageError(f"site {text!r}: {seam} takes no ':{name}'; {_EXPECTED}")
        if seam in _NAMED and not name:
            raise UsageError(
                f"site {text!r}: a {seam} site needs a name, such as '{seam}:payments.refund'; {_EXPECTED}"
            )
        if match["conversation"]:
            if seam != "llm":
                raise UsageError(f"site {text!r}: only llm takes a [conversation]; {_EXPECTED}")
            name = unquote(match["conversation"])
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


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:120]}…")
