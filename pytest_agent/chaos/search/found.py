"""The runs of a search in one order, whoever made them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pytest_agent.chaos.search.observed import Observed

Phase = Literal["first", "single", "recovery", "pair", "cover", "random"]
Cut = Literal["", "time", "runs", "stopped"]


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the search. `order` is its place among the runs of all lanes, the same whoever made it."""

    order: tuple[int, int, int]
    phase: Phase
    observed: Observed

    @property
    def is_kept(self) -> bool:
        """Whether it was run because it was asked for first, and not as a step of this search."""
        return self.phase == "first"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has seen. `cut` says what ended it before it was through: a bound, or the session."""

    runs: tuple[Ran, ...]
    cut: Cut = ""

    @property
    def observed(self) -> list[Observed]:
        """The runs in canonical order."""
        return [ran.observed for ran in self.runs]

    @property
    def stopped(self) -> bool:
        """Whether the session ended it, so that nobody knows what it would have found."""
        return self.cut == "stopped"


def in_order(runs: Iterable[Ran]) -> tuple[Ran, ...]:
    """Each schedule once, at its first place: the runs of several parts of a search make up those of the whole."""
    best: dict[str, Ran] = {}
    for ran in runs:
        text = str(ran.observed.schedule)
        other = best.get(text)
        if other is None or (ran.is_kept, ran.order) < (other.is_kept, other.order):
            best[text] = ran
    return tuple(sorted(best.values(), key=lambda ran: ran.order))


def merge(parts: Iterable[Found]) -> Found:
    """Make one whole of the parts of a search."""
    found = list(parts)
    cuts = {part.cut for part in found}
    worst: tuple[Cut, ...] = ("stopped", "time", "runs")
    return Found(in_order(ran for part in found for ran in part.runs), next((cut for cut in worst if cut in cuts), ""))
