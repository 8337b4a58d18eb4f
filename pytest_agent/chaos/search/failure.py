"""One way in which a test breaks, as the search hands it over."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_agent.chaos.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Confirmed:
    """`failed` of `of` replays in a fresh process failed in the same way."""

    failed: int
    of: int

    @property
    def is_flaky(self) -> bool:
        """Whether it does not fail each time."""
        return self.failed < self.of


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
