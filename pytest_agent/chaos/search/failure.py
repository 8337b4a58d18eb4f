"""One way in which a test breaks, as the search hands it over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_agent.chaos.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Confirmed:
    """`failed` of `of` replays in a fresh process failed in the same way. `why`: why no more were made."""

    failed: int
    of: int
    why: str = ""

    @property
    def is_flaky(self) -> bool:
        """Whether it does not fail each time."""
        return self.failed < self.of

    def __str__(self) -> str:
        if not self.of:
            return f"could not be replayed in a fresh process: {self.why}"
        text = f"fails in {self.failed} of {self.of} fresh replays"
        if not self.failed:
            text += ": it depends on state of the session that searched"
        elif self.is_flaky:
            text += ": flaky"
        return f"{text}; further ones could not be made: {self.why}" if self.why else text

    def to_dict(self) -> dict[str, Any]:
        """Canonical JSON data."""
        return {"failed": self.failed, "of": self.of, "said": str(self)}


@dataclass(frozen=True, slots=True)
class Failure:
    """The fewest faults that break the test in one way.

    `verdict` is that of the shrunk schedule, `found_as` the schedule under which it was met first, `also_at` others
    that break it in the same way. `confirmed` is None where no fresh process was asked; `known` is the reason given in
    the file of known failures, None for a new one.
    """

    verdict: Verdict
    found_as: str
    also_at: tuple[str, ...] = ()
    confirmed: Confirmed | None = None
    known: str | None = None
