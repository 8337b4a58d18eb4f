"""The agent's task is cancelled while it is under way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pytest_agent.faults.effect import AroundProcess, Facts, Hands, Moment
from pytest_agent.faults.effects.boundaries import moments
from pytest_agent.faults.site import Site

By = Literal["disconnect", "request"]


class Cancelled(AroundProcess):
    """A client that goes away (`disconnect`) cancels the agent's coroutine; a user's `request` goes by its own door.

    `late` cancels what has ended already.
    """

    name: ClassVar[str] = "cancelled"
    when: Moment = "asked"
    by: By = "disconnect"
    late: bool = False

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to coroutines, at each of their boundaries; late at the first call of a model only.

        A request is made where it finds a step under way: around a commit, and while the model is asked.
        """
        sweep = tuple(sweep)
        ways: tuple[By, ...] = ("disconnect", "request") if "by" in sweep else (self.by,)
        whens = moments(facts) if "when" in sweep else [self.when] if self.when in moments(facts) else []
        if self.late and not facts.get("first"):
            return []
        return [
            self.with_params(when=when, by=by)
            for by in ways
            if by in facts.get("can", ())
            for when in whens
            if by == "disconnect" or when in ("commit", "asked")
        ]

    def act(self, hands: Hands, site: Site) -> str:
        """Ask for it."""
        if not hands.cancel(self.by, site, late=self.late):
            return ""
        how = "the client went away" if self.by == "disconnect" else "the user asked to cancel"
        return f"{how}{' when all was done' if self.late else ''}"
