"""What the model says in one conversation: rules that fit, else the turns of a script in order, else a function.

In a clean run each logical call hears the next turn; one call too many and one turn left over both fail the test.
Under a fault the model behaves as a model does: a turn that did not arrive as it was meant is said again, and so is
one whose tool calls came back as failures of the harness's making. Without this a script would let the model claim
what it could not know. A function is asked anew: it sees the history.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from pytest_agent.errors import RunAbort
from pytest_agent.llm.author import problem_of
from pytest_agent.llm.calls import CallBook, LogicalCall
from pytest_agent.llm.closest import undeclared
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.rules import Rule
from pytest_agent.llm.told import Told
from pytest_agent.llm.turn import Said, Turn, to_turn
from pytest_agent.llm.usage import Meter, Spent

REPEATS = 3
"""How often the model says one turn again because its tools failed, before it goes on."""

RUNAWAY = 50
"""Logical calls for which the model has nothing new to say, after which a run is ended."""

MOST_ATTEMPTS = 200
"""Attempts of one logical call after which a run is ended."""

APART = 1_000_000
"""Between the numbers of the replies of two conversations."""

RECENT = 20
"""Requests that are kept to say how near one came to a rule that was never used."""


class Line(NamedTuple):
    """What a logical call is told: the turn, or None where there is none; `problem` is an error of the test's own."""

    call: LogicalCall
    turn: Turn | None
    problem: str | None = None


class Script(Told):
    """One conversation: the turns of its script, its own rules and function, and how far the agent has come.

    `shared` are the rules and the function that hold in every conversation, after its own.
    """

    def __init__(self, name: str, shared: Told, rules: list[Rule], *, number: int, most_calls: int | None) -> None:
        super().__init__(rules, f"llm.conversation({name!r})" if name else "llm")
        self.name = name
        self._number = number
        self.turns: list[Turn] = []
        self.book = CallBook()
        self.meter = Meter()
        self.reached = -1
        self.uses: dict[int, int] = {}
        self.undeclared: str | None = None
        self.recent: deque[tuple[ModelRequest, int]] = deque(maxlen=RECENT)
        self._shared = shared
        self._most_calls = most_calls
        self._running: tuple[Rule, int] | None = None
        self._repeats: dict[str, int] = {}
        self._idle = 0
        self._begins = 0

    def begin(self) -> None:
        """A new conversation: what comes is heard next, and nothing of before is said in it."""
        self._begins = len(self.turns)
        self._running = None
        self.book.begin()

    def says(self, *said: Said) -> None:
        """The next turns of this conversation, in order. Raises TypeError for what a model cannot say."""
        self.turns.extend(to_turn(item) for item in said)

    @property
    def usage(self) -> Spent:
        """What this conversation has used so far."""
        return self.meter.total

    @property
    def known_rules(self) -> list[Rule]:
        """Its own rules and those that hold everywhere, in the order in which they are tried."""
        return [*self.rules, *self._shared.rules]

    @property
    def speaks(self) -> bool:
        """Whether there is anything that could answer."""
        return bool(self.turns or self.known_rules or self.function or self._shared.function)

    def next_line(self, request: ModelRequest, *, faulted: bool, restarts: int = 0) -> Line:
        """What this request is told.

        `faulted` says that some fault of the schedule has struck in this run, `restarts` how often the agent has been
        started once more.
        """
        last = self.book.last
        call = self.book.retried(request, restarts)
        if call is None:
            call = self.book.open(request)
            self._check_end(call)
        elif call.attempts > MOST_ATTEMPTS and self._most_calls is not None:
            raise RunAbort("runaway", f"the agent has tried model call {call.n} {MOST_ATTEMPTS} times and goes on")
        if self.rules or self._shared.rules:
            self.recent.append((request, call.n))
        if call.told is None:
            try:
                self._tell(call, last, request, faulted)
            except Exception as error:  # noqa: BLE001 - whatever the test's own predicates and functions raise
                return Line(call, None, problem_of(error))
            self.undeclared = self.undeclared or undeclared(call, request)
        return Line(call, call.told)

    def snapshot(self) -> dict[str, Any]:
        """How far the conversation has come, as JSON data."""
        return {
            "book": self.book.snapshot(),
            "usage": self.meter.snapshot(),
            "reached": self.reached,
            "uses": sorted(self.uses.items()),
            "running": self._running and (self._running[0].number, self._running[1]),
            "repeats": sorted(self._repeats.items()),
            "idle": self._idle,
            "begins": self._begins,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from there, with the same turns, rules and function."""
        self.book.restore(data["book"])
        self.meter.restore(data["usage"])
        self.reached = data["reached"]
        self.uses, self._repeats = dict(data["uses"]), dict(data["repeats"])
        self._idle, self._begins = data["idle"], data["begins"]
        if data["running"] is not None:
            number, place = data["running"]
            self._running = self._all_rules[number - 1], place

    @property
    def leftover(self) -> list[Turn]:
        """The turns of the script that no call has asked for."""
        return self.turns[self.reached + 1 :]

    @property
    def half_said(self) -> tuple[Rule, int] | None:
        """A rule whose turns were not all asked for, and how many were."""
        return self._running

    def spent(self, rule: Rule) -> bool:
        """Whether a rule has fitted here as often as it may."""
        return rule.times is not None and self.uses.get(rule.number, 0) >= rule.times

    def reply_number(self, call: LogicalCall) -> int:
        """What makes the ids in the reply to this call: no two conversations of a run share one."""
        return self._number * APART + call.n

    def _check_end(self, call: LogicalCall) -> None:
        if self._most_calls is not None and (self._idle > RUNAWAY or call.n > self._most_calls):
            raise RunAbort("runaway", f"the agent made {call.n} model calls and does not stop")

    def _tell(self, call: LogicalCall, last: LogicalCall | None, request: ModelRequest, faulted: bool) -> None:
        if faulted and last is not None and self._says_again(call, last, request):
            return
        fitting = self._running or self._fitting(request, call.n)
        if fitting is not None:
            self._tell_rule(call, *fitting)
        elif (following := max(self.reached + 1, self._begins)) < len(self.turns):
            self.reached = following
            call.turn, call.told = self.reached, self.turns[self.reached]
        else:
            function = self.function or self._shared.function
            if function is not None:
                call.told = to_turn(function(request))
            elif faulted and self.turns:
                call.turn, call.told = self.reached, self.turns[-1]
            self._idle += function is None

    def _tell_rule(self, call: LogicalCall, rule: Rule, place: int) -> None:
        if place == 0:
            self.uses[rule.number] = self.uses.get(rule.number, 0) + 1
        self._repeats.pop(_key(rule.number, place), None)
        call.rule, call.place, call.told = rule.number, place, rule.turns[place]
        self._running = (rule, place + 1) if place + 1 < len(rule.turns) else None

    def _fitting(self, request: ModelRequest, n: int) -> tuple[Rule, int] | None:
        for rule in self.known_rules:
            if not self.spent(rule) and rule.fits(request, n):
                return rule, 0
        return None

    def _says_again(self, call: LogicalCall, last: LogicalCall, request: ModelRequest) -> bool:
        """Tell the last turn once more where the agent could not go on from it."""
        said_by_function = last.turn is None and last.rule is None
        if last.told is None or said_by_function or not last.to_be_said_again:
            return False
        if last.turn is not None and last.turn < self._begins:
            return False
        alone = last.rule is not None and last.place == 0 and self._running is None
        if alone and self._fitting(request, call.n) is not None:
            return False
        key = f"turn {last.turn}" if last.rule is None else _key(last.rule, last.place)
        if self._repeats.get(key, 0) >= REPEATS:
            return False
        self._repeats[key] = self._repeats.get(key, 0) + 1
        call.told, call.turn, call.rule, call.place = last.told, last.turn, last.rule, last.place
        self._idle += 1
        return True


def _key(rule: int, place: int) -> str:
    return f"rule {rule}.{place}"
