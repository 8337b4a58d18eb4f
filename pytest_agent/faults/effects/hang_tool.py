"""The tool never answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply


class HangTool(ToolEffect):
    """Only the caller's own limit ends the wait. `done` says whether the work is done meanwhile."""

    name: ClassVar[str] = "hang-tool"
    done: bool = False

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every tool; both ways, where `done` is swept, to those that change the world."""
        if "effect" not in facts:
            return []
        both = "done" in sweep and facts["effect"]
        return [self.with_params(done=done) for done in (False, True)] if both else [self]

    def instead(self) -> ToolReply | None:
        """Silence, and nothing done."""
        return None if self.done else _SILENCE

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """Silence, and all done."""
        return _SILENCE if self.done else reply


_SILENCE = ToolReply(error=TimeoutError("the tool never answered"), lost=True, hangs=True)
