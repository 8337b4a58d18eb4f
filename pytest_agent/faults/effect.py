"""The model of an effect: how a fault changes what an agent receives.

An effect is a frozen set of validated parameters with one method that acts. It returns its argument itself where it
has nothing to act on: such a fault was *not applied*, which is never taken for *survived*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pytest_agent.llm.reply import Reply
    from pytest_agent.llm.request import ModelRequest
    from pytest_agent.llm.turn import Turn

Facts = Mapping[str, Any]
"""What the clean run showed at a site: `streamed`, `events`, `calls` (llm); `effect` (tool); `last` (store)."""


class Effect(BaseModel):
    """One way a fault acts. `lasts` says how far it reaches beyond its site.

    `attempt`: this wire attempt or tool attempt only; `run`: this one and everything after it at the same seam.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]
    seam: ClassVar[Literal["llm", "tool", "process"]]
    lasts: Literal["attempt", "run"] = "attempt"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """The settings worth trying at a site with these facts; none where the effect does not apply.

        `sweep` names the parameters to vary; the others stay as they are.
        """
        raise NotImplementedError

    def with_params(self, **params: object) -> Self:
        """The same effect with some parameters changed. Raises pydantic.ValidationError for bad ones."""
        return type(self).model_validate({**self.model_dump(), **params})


class LlmEffect(Effect):
    """Acts on what the model says: on the request, the turn, or the bytes of the reply."""

    seam: ClassVar[Literal["llm", "tool", "process"]] = "llm"

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
class ToolReply:
    """How a tool answers: a value or an error, `delay_s` virtual seconds later. `lost` if the answer never arrived."""

    value: object = None
    error: BaseException | None = None
    delay_s: float = 0.0
    lost: bool = False


class ToolEffect(Effect):
    """Acts on a tool's reply, after the tool has done its work."""

    seam: ClassVar[Literal["llm", "tool", "process"]] = "tool"

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """What reaches the caller instead."""
        return reply


class ProcessEffect(Effect):
    """Ends the agent's process at a site, or starts it again where it need not be."""

    seam: ClassVar[Literal["llm", "tool", "process"]] = "process"

    def dies(self) -> bool:
        """Whether the process ends at the site; otherwise it is started once more after its end."""
        raise NotImplementedError
