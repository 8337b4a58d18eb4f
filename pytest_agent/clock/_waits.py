"""Places that waited really although time is virtual: kept to tell the test author what to declare."""

from __future__ import annotations

from dataclasses import dataclass

# Less than this in total is not worth a word.
WORTH_A_WARNING_S = 0.1


class VirtualClockWarning(UserWarning):
    """A test waited really, because something might have been at work that the clock cannot see into."""


@dataclass(frozen=True, slots=True)
class Cause:
    """`what` may have been at work, `where` (`file:line`) if that is known; `edit` is what to do about it."""

    what: str
    edit: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class RealWait:
    """`seconds` of real time were waited because of `what`; `edit` is what a test author can do about it.

    A thread is named with the place at which it was for the longest time.
    """

    what: str
    seconds: float
    edit: str


class WaitLedger:
    """Adds up real waiting by its cause."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], dict[str, float]] = {}  # by where
        self._warned = False

    def add(self, causes: tuple[Cause, ...], seconds: float) -> None:
        """Record that `seconds` were waited because of each of `causes`."""
        for cause in causes:
            places = self._seconds.setdefault((cause.what, cause.edit), {})
            places[cause.where] = places.get(cause.where, 0.0) + seconds

    def waits(self) -> list[RealWait]:
        """Every cause, the longest wait first."""
        found = []
        for (what, edit), places in self._seconds.items():
            where = max(places, key=lambda place: (places[place], place))
            found.append(RealWait(f"{what}, at {where}" if where else what, sum(places.values()), edit))
        return sorted(found, key=lambda wait: (-wait.seconds, wait.what))

    def message_once(self) -> str | None:
        """What to warn of, or None when there is nothing (more) to say."""
        waits = [wait for wait in self.waits() if wait.seconds > WORTH_A_WARNING_S]
        if self._warned or not waits:
            return None
        self._warned = True
        lines = [f"  {wait.seconds:.2f} s for {wait.what}: {wait.edit}" for wait in waits]
        return (
            "The virtual clock waited really, since these might have been at work:\n"
            + "\n".join(lines)
            + "\nOr count the work while it lasts: `with clock.busy('what it is'): ...`."
        )
