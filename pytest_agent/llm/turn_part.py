"""What a turn has besides text and calls, as a YAML file says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pytest_agent.llm.pace import Pace
from pytest_agent.llm.turn import Stop, ToolCall, Turn, Usage


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class UsagePart(_Part):
    """Tokens, as `Usage` has them."""

    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    reasoning_tokens: int = Field(default=0, ge=0)


class PacePart(_Part):
    """Seconds, as `Pace` has them."""

    first_s: float = Field(default=0.0, ge=0)
    gap_s: float = Field(default=0.0, ge=0)
    first_deviation_s: float = Field(default=0.0, ge=0)
    gap_deviation_s: float = Field(default=0.0, ge=0)
    delays: list[Annotated[float, Field(ge=0)]] = Field(default_factory=list)

    def pace(self) -> Pace:
        """The pace of the turn."""
        return Pace(**{**self.model_dump(), "delays": tuple(self.delays)})


class SaidPart(_Part):
    """A turn without its calls, which each kind of file writes in its own way."""

    text: str | None = None
    stop: Stop | None = None
    usage: UsagePart | None = None
    reasoning: str | None = None
    refusal: str | None = None
    pace: PacePart | None = None

    def said(self, calls: Sequence[ToolCall]) -> Turn:
        """The turn, with these calls."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in ("text", "stop", "reasoning", "refusal")}
        usage = None if self.usage is None else Usage(**self.usage.model_dump())
        return Turn(**kept, calls=tuple(calls), usage=usage, pace=None if self.pace is None else self.pace.pace())
