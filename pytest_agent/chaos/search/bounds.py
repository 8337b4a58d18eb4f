"""How far a search goes: its level, its limits, and its share of a search that is divided."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, Self, get_args

from pytest_agent.errors import UsageError, did_you_mean

Level = Literal["smoke", "ci", "full"]
LEVELS: tuple[Level, ...] = get_args(Level)
LANES = 8
"""Into so many parts every search is divided, whoever runs them, so that the result does not depend on who does."""

_SHARD = re.compile(r"([0-9]+)/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `of`, counted from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2/8`. Raises UsageError."""
        match = _SHARD.fullmatch(text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]) <= LANES:
            raise UsageError(f"{text!r} is no part of a search; expected K/N with 1 <= K <= N <= {LANES}, such as 2/8")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole search."""
        return self.of == 1

    def has(self, lane: int) -> bool:
        """Whether this lane, counted from 0, is of this part."""
        return lane % self.of == self.number - 1


@dataclass(frozen=True, slots=True)
class Scope:
    """What a level looks at, before a person bounds it.

    `grave_only`: faults of severity high and critical alone. `swept`: also the settings that an entry asks to vary.
    `alike`: runs of one fault at one kind of site, deaths excepted, None for all there are. `pairs`: runs of pairs for
    each run of a single fault, None for all pairs there are. `random`: runs of random schedules. `time_s`: real seconds
    for one test, None for as long as it takes.
    """

    grave_only: bool = False
    swept: bool = True
    alike: int | None = None
    pairs: float | None = 0.0
    random: int = 0
    time_s: float | None = None

    def most_pairs(self, singles: int) -> int | None:
        """How many runs of pairs go with so many of single faults."""
        return None if self.pairs is None else math.ceil(singles * self.pairs)


_ALIKE = 12
SCOPES: dict[Level, Scope] = {
    "smoke": Scope(grave_only=True, swept=False, alike=_ALIKE),
    "ci": Scope(alike=_ALIKE, pairs=0.2),
    "full": Scope(pairs=None, random=64, time_s=100.0),
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """`time_s`: real seconds for one test. `runs`: runs of one test. None: as the level has it."""

    level: Level = "ci"
    time_s: float | None = None
    runs: int | None = None
    shard: Shard = Shard()

    @property
    def scope(self) -> Scope:
        """What the level looks at."""
        return SCOPES[self.level]

    @property
    def seconds(self) -> float | None:
        """The real seconds that one test may take: the person's word, else the level's."""
        return self.time_s if self.time_s is not None else self.scope.time_s


def parse_level(text: str) -> Level:
    """Read a level. Raises UsageError with the nearest name."""
    for level in LEVELS:
        if text == level:
            return level
    raise UsageError(f"unknown level {text!r}; expected smoke, ci or full.{did_you_mean(text, LEVELS)}")
