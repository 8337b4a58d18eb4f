"""How fast a turn arrives: the time to its first token and the time between two."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds until the first event of a turn and between two of them; both are 0 by default.

    In process these are seconds of the virtual clock, on a socket they are real.
    """

    first_s: float = 0.0
    gap_s: float = 0.0
