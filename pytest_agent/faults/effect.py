"""The model of an effect: how a fault changes what an agent receives.

An effect is a frozen set of validated parameters with one method that acts. It returns its argument itself where it
has nothing to act on: such a fault was *not applied*, which is never taken for *survived*.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from pytest_agent.faults.site import Site

if TYPE_CHECKING:
    from pytest_agent.llm.reply import Reply
    from pytest_agent.llm.request import ModelRequest
    from pytest_agent.llm.turn import Turn

Facts = Mapping[str, Any]
"""What the clean run showed at a site.

llm: `streamed`, `terminal_at`, `arguments`, `calls` (how many the turn makes), `called` and `pure` (whether a tool was
called before, and whether all that the turn before called are without effect). tool, and process at one: `effect`.
store: `phase`. event: `followed` (whether another event comes after it) and `fields` (whether its payload is an
object). process: `restartable` (whether the agent is started again where it dies here) and `can` (what else can be done
to it: see `AgentStarted`); at a commit `last`, `phase` and `file` (whether it is known which file it wrote); at a model
call `answered` (whether the whole reply arrived) and `first`. clock: `ready` (how many tasks could go first) and
`first` (whether it is the first such moment).
"""

Seam = Literal["llm", "tool", "store", "event", "process", "clock"]


class Effect(BaseModel):
    """One way a fault acts. `lasts` says how far it reaches beyond its site.

    `attempt`: this wire attempt or tool attempt only; `run`: this one and everything after it at the same seam.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]
    seam: ClassVar[Seam]
    lasts: Literal["attempt", "run"] = "attempt"

    @abstractmethod
    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """The settings worth trying at a site with these facts; none where the effect does not apply.

        `sweep` names the parameters to vary; the others stay as they are.
        """

    def with_params(self, **params: object) -> Self:
        """The same effect with some parameters changed. Raises pydantic.ValidationError for bad ones."""
        return type(self).model_validate({**self.model_dump(), **params}) if params else self


class LlmEffect(Effect):
    """Acts on what the model says: on the request, the turn, or the bytes of the reply."""

    seam: ClassVar[Seam] = "llm"

    def answer(self, request: ModelRequest) -> Reply | None:
        """A reply in place of the model's own, or None to let the model speak."""
        del request
        return None

    def change_turn(self, turn: Turn) -> Turn:
        """What the model says instead."""
        return turn

    def change_reply(self, reply: Reply) -> Reply:
        """What reaches the client instead."""
        return reply


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery of an event, `delay_s` virtual seconds after the one before it. One event may come several times.

    `source` and `event_id` together are the identity of the event; `site` is where the harness stands as it comes.
    """

    site: Site = field(compare=False)
    source: str
    event_id: str
    kind: str
    payload: Any = None
    delay_s: float = 0.0

    @property
    def identity(self) -> tuple[str, str]:
        """What two deliveries of one event have in common."""
        return self.source, self.event_id


@dataclass(frozen=True, slots=True)
class ToolReply:
    """How a tool answers: a value or an error, `delay_s` virtual seconds later.

    `lost` if the answer never arrived, `hangs` if the caller waits for it without end, `refused` if a fault has kept
    the tool from its work and the caller is told.
    """

    value: object = None
    error: BaseException | None = None
    delay_s: float = 0.0
    lost: bool = False
    hangs: bool = False
    refused: bool = False


class ToolEffect(Effect):
    """Acts on a tool: in place of its work, or on its reply after the work was done."""

    seam: ClassVar[Seam] = "tool"

    def instead(self) -> ToolReply | None:
        """A reply without any work done, or None to let the tool work."""
        return None

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """What reaches the caller instead."""
        return reply


Condition = Literal["full", "read-only", "locked"]
"""What a store can be in: no room is left, nothing may be written, another process holds it."""


class StoreEffect(Effect):
    """Acts on a commit of the agent's store, before it is written or after."""

    seam: ClassVar[Seam] = "store"

    def delay_s(self) -> float:
        """Virtual seconds that pass at the site."""
        return 0.0

    def fails(self) -> str | None:
        """What the store says as it fails at the site, or None where it does not."""
        return None

    def condition(self) -> Condition | None:
        """What the store is in from here on, where it fails for more than this one commit."""
        return None

    def for_how_long_s(self) -> float:
        """Virtual seconds that the condition holds."""
        return math.inf


class EventEffect(Effect):
    """Acts on the events that are delivered to the agent from outside."""

    seam: ClassVar[Seam] = "event"

    @abstractmethod
    def change(self, deliveries: Sequence[Delivered], at: int) -> list[Delivered]:
        """What is delivered instead, in order; a new list. `at` is the index of the delivery at the site."""


class ClockEffect(Effect):
    """Acts on what asyncio leaves open: which of the tasks that are ready at one moment goes first."""

    seam: ClassVar[Seam] = "clock"

    @abstractmethod
    def goes_first(self, ready: int, n: int) -> int | None:
        """Which of `ready` tasks goes first at the `n`-th such moment of the run, from 0 in the usual order.

        None where there is no such task.
        """


Moment = Literal["commit", "written", "before-call", "after-effect", "asked", "answered"]
"""When a process can die.

`commit`: on either side of one. `written`: as it is written, before the agent knows. `before-call`: before a tool
works. `after-effect`: after it has worked and before it answers. `asked`: the model has the request. `answered`: the
agent has the whole reply.
"""

Left = Literal["all", "torn", "flushed"]
"""What a death leaves of the agent's files: all that was written; all but half of the last write; what was flushed."""


class ProcessEffect(Effect):
    """Ends the agent's process at a site, starts it again where it need not be, or lets it stand still."""

    when: Moment = "commit"

    seam: ClassVar[Seam] = "process"

    @abstractmethod
    def dies(self) -> bool:
        """Whether the process ends at the site; otherwise it stands still, or is started once more after its end."""

    def stands_still_s(self) -> float:
        """Virtual seconds that the process stands still at the site; 0 for one that is started once more."""
        return 0.0

    def left(self) -> Left:
        """What is left of the agent's files where the process dies."""
        return "all"


class Hands:
    """What can be done to the agent of a run from outside, by whoever runs it. Nobody can do anything by default.

    Each returns whether it was done. Any thread may call them.
    """

    def cancel(self, by: str, site: Site, *, late: bool) -> bool:
        """Cancel the agent's task: `disconnect` as a client that goes away, `request` as a user who asks for it.

        `late`: when it has ended.
        """
        del by, site, late
        return False

    async def rest(self) -> None:
        """Wait until what was done to the agent here is done: it shall not race with what the agent does next."""

    def start_second(self) -> bool:
        """Let a second worker begin with the same task, over the same store."""
        return False

    def move_wall(self, by_s: float) -> bool:
        """Set the wall clock by so many seconds."""
        del by_s
        return False


class AroundProcess(ProcessEffect):
    """Does something to the agent, or to what is around it, as it passes the site; the process goes on."""

    def dies(self) -> bool:
        """It does not."""
        return False

    @abstractmethod
    def act(self, hands: Hands, site: Site) -> str:
        """Do it; returns what was done, in one line, or "" where it could not be done."""
