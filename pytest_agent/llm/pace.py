"""How fast a turn arrives: the time to its first token and the time between two."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds until the first token of a turn and between two of them; both are 0 by default.

    With a deviation they are drawn from a normal distribution and never negative. `delays` stand in place of all that:
    the first token's, then the gaps, from the beginning again where there are more tokens; see `Pace.recorded`.
    In process these are seconds of the virtual clock, on a socket they are real. Raises ValueError for what is no time.
    """

    first_s: float = 0.0
    gap_s: float = 0.0
    first_deviation_s: float = 0.0
    gap_deviation_s: float = 0.0
    delays: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "delays"}
        for name, value in (*named.items(), *(("delays", value) for value in self.delays)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value!r}; a pace is made of seconds, 0 or more")

    @classmethod
    def recorded(cls, delays_s: Sequence[float]) -> Pace:
        """The pace of a recording: seconds before its first token, then those before each one that follows."""
        if not delays_s:
            raise ValueError("a recorded pace has no delays; give those of at least one token")
        return cls(delays=tuple(delays_s))

    def delays_s(self, seed: str) -> Iterator[float]:
        """The seconds before each token, without end. One seed gives one sequence."""
        if self.delays:
            yield self.delays[0]
            yield from itertools.cycle(self.delays[1:] or self.delays)
        elif not (self.first_deviation_s or self.gap_deviation_s):
            yield self.first_s
            yield from itertools.repeat(self.gap_s)
        drawn = random.Random(seed)  # noqa: S311 - that it can be foretold is the point
        yield max(0.0, drawn.gauss(self.first_s, self.first_deviation_s))
        while True:
            yield max(0.0, drawn.gauss(self.gap_s, self.gap_deviation_s))
