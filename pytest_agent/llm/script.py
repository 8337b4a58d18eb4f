"""What the model says: turns in order, strictly.

In a clean run each logical call hears the next turn; one call too many and one turn left over both fail the test.
Under a fault the model behaves as a model does: a turn that did not arrive as it was meant is said again, and so is
one whose tool calls came back as failures of the harness's making. Without this a script would let the model claim
what it could not know.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pytest_agent.errors import RunAbort
from pytest_agent.llm.calls import CallBook, LogicalCall
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import Said, Turn, to_turn

REPEATS = 3
"""How often the model says one turn again because its tools failed, before it goes on."""

RUNAWAY = 50
"""Logical calls beyond the script after which a run is ended."""

MOST_ATTEMPTS = 200
"""Attempts of one logical call after which a run is ended."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a logical call is told: the turn, or None where the script has no more to say."""

    call: LogicalCall
    turn: Turn | None


class Script:
    """The turns of one conversation and how far the agent has come."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.book = CallBook()
        self._repeats: dict[int, int] = {}
        self._begins = 0

    def begin(self) -> None:
        """A new conversation: what comes is heard next, and nothing of before is said in it."""
        self._begins = len(self.turns)

    def says(self, *said: Said) -> None:
        """Append turns. Raises TypeError for what a model cannot say."""
        self.turns.extend(to_turn(item) for item in said)

    def next_line(self, request: ModelRequest, *, faulted: bool) -> Line:
        """What this request is told. `faulted` says that some fault of the schedule has struck in this run."""
        call = self.book.retried(request)
        if call is None:
            call = self.book.open(request, self._turn_for_next_call(faulted))
            if len(self.book.calls) > len(self.turns) + RUNAWAY:
                raise RunAbort("runaway", f"the agent made {len(self.book.calls)} model calls and does not stop")
        elif call.attempts > MOST_ATTEMPTS:
            raise RunAbort("runaway", f"the agent has tried model call {call.n} {MOST_ATTEMPTS} times and goes on")
        if call.turn < len(self.turns):
            return Line(call, self.turns[call.turn])
        return Line(call, self.turns[-1] if faulted and self.turns else None)

    def snapshot(self) -> dict[str, Any]:
        """How far the conversation has come, as JSON data."""
        calls = [{**asdict(call), "tools_failed": sorted(call.tools_failed)} for call in self.book.calls]
        return {"calls": calls, "repeats": sorted(self._repeats.items()), "begins": self._begins}

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from there, with the same turns. A reply that was under way was never heard."""
        for call in data["calls"]:
            self.book.calls.append(LogicalCall(**{**call, "tools_failed": set(call["tools_failed"]), "flowing": False}))
        self._repeats, self._begins = dict(data["repeats"]), data["begins"]

    @property
    def leftover(self) -> list[Turn]:
        """The turns that no call has asked for."""
        reached = max((call.turn for call in self.book.calls), default=-1)
        return self.turns[reached + 1 :]

    def _turn_for_next_call(self, faulted: bool) -> int:
        if not self.book.calls:
            return 0
        last = self.book.calls[-1]
        if not faulted or last.turn < self._begins:
            return max(last.turn + 1, self._begins)
        again = not last.heard or bool(last.tools_failed)
        if again and self._repeats.get(last.turn, 0) < REPEATS:
            self._repeats[last.turn] = self._repeats.get(last.turn, 0) + 1
            return last.turn
        return min(last.turn + 1, max(len(self.turns) - 1, 0))
