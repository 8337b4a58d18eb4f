"""From a schedule that breaks the agent to the simplest one that breaks it in the same way.

Fewest faults first, by delta debugging: `ddmin` of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", IEEE Transactions on Software Engineering 28(2), 2002. Then each fault at its earliest place, then in its
simplest setting; and again from the beginning, until nothing more can be taken away. A fault that can strike only
because of another one is no special case: that a schedule fails in the same way is seen by running it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from pytest_agent.chaos.search.observed import Observed, Subject, same_way
from pytest_agent.chaos.search.simpler import earlier_places, simpler_settings
from pytest_agent.faults.catalogue import Catalogue, load_catalogue
from pytest_agent.faults.schedule import Fault, Schedule

Expand = Callable[[Observed], Schedule | None]
"""An equal schedule of more and simpler faults, or None where there is none."""


def shrink(
    failing: Observed,
    subject: Subject,
    *,
    most_runs: int = 200,
    expand: Expand | None = None,
    catalogue: Catalogue | None = None,
) -> Observed:
    """The run under the simplest schedule that was seen to fail in the same way as `failing`.

    Without any one of its faults it would not, unless `most_runs` ended the search before. No schedule is run twice,
    and the order is fixed, so that one subject gives one result. `expand` may put an equal schedule of simpler faults
    in the place of `failing`: an order of tasks as its single deviations. It is dropped again where it cannot be
    shrunk to its end.
    """
    shrinking = _Shrinking(failing, subject, most_runs, catalogue or load_catalogue())
    expanded = expand(failing) if expand is not None else None
    if expanded is not None:
        shrinking.start_from(expanded)
    ended = shrinking.run()
    best = shrinking.best
    return best if ended or len(best.schedule.faults) <= len(failing.schedule.faults) else failing


class _OutOfRuns(Exception):
    """The limit is reached."""


class _Shrinking:
    def __init__(self, failing: Observed, subject: Subject, most_runs: int, catalogue: Catalogue) -> None:
        self.best = failing
        self._failing = failing
        self._subject = subject
        self._left = most_runs
        self._catalogue = catalogue
        self._fails: dict[str, Observed | None] = {str(failing.schedule): failing}

    def start_from(self, schedule: Schedule) -> None:
        """Go on from this schedule if it fails in the same way."""
        if self._left:
            self._still_fails(schedule.faults)

    def run(self) -> bool:
        """Make it smaller until nothing more can be taken away. False where the runs were used up before."""
        try:
            before = None
            while before != self.best.schedule:
                before = self.best.schedule
                self._to_fewest()
                self._each(lambda fault: earlier_places(fault, self.best.sites))
                self._each(lambda fault: simpler_settings(fault, self.best.sites, self._catalogue))
        except _OutOfRuns:
            return False
        return True

    def _to_fewest(self) -> None:
        faults, parts = self.best.schedule.faults, 2
        while len(faults) > 1:
            chunks = _split(faults, parts)
            # Of two halves each is all but the other.
            rests = [tuple(fault for fault in faults if fault not in chunk) for chunk in chunks] if parts > 2 else []
            chunk = self._first_that_fails(chunks)
            rest = self._first_that_fails(rests) if chunk is None else None
            if chunk is not None:
                faults, parts = chunk, 2
            elif rest is not None:
                faults, parts = rest, max(parts - 1, 2)
            elif parts == len(faults):
                return
            else:
                parts = min(2 * parts, len(faults))

    def _first_that_fails(self, choices: Iterable[Sequence[Fault]]) -> tuple[Fault, ...] | None:
        return next((tuple(faults) for faults in choices if self._still_fails(faults)), None)

    def _each(self, simpler: Callable[[Fault], Iterable[Fault]]) -> None:
        """Each fault in the first of its simpler forms that still fails, again while there is one."""
        for place in range(len(self.best.schedule.faults)):
            changed = True
            while changed and place < len(self.best.schedule.faults):
                faults = self.best.schedule.faults
                fault, others = faults[place], (*faults[:place], *faults[place + 1 :])
                changed = any(self._still_fails([*others, other]) for other in simpler(fault))

    def _still_fails(self, faults: Iterable[Fault]) -> bool:
        schedule = Schedule.of(faults)
        text = str(schedule)
        if text not in self._fails:
            if not self._left:
                raise _OutOfRuns
            self._left -= 1
            seen = self._subject.observe(schedule)
            self._fails[text] = seen if same_way(seen.verdict, self._failing.verdict) else None
        again = self._fails[text]
        if again is not None:
            self.best = again
        return again is not None


def _split(faults: Sequence[Fault], parts: int) -> list[tuple[Fault, ...]]:
    size, more = divmod(len(faults), parts)
    ends = [(size + 1) * number if number <= more else size * number + more for number in range(parts + 1)]
    return [tuple(faults[start:end]) for start, end in itertools.pairwise(ends)]
