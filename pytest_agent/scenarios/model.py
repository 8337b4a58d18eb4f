"""The schema of a scenario file."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pytest_agent.adapters.arrivals import Arrival
from pytest_agent.llm.turn import ToolCall, Turn, call


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TurnPart(_Part):
    """One turn of the model: `text`, or `call` with one or several tools and their arguments."""

    text: str | None = None
    call: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and not self.call:
            raise ValueError("a turn says 'text', or 'call's tools, or both")
        return self

    def turn(self) -> Turn:
        """The turn for the script."""
        calls: tuple[ToolCall, ...] = tuple(call(name, **arguments) for name, arguments in self.call.items())
        return Turn(text=self.text, calls=calls)


class ToolPart(_Part):
    """A tool of the sandbox: it always answers `returns`."""

    effect: bool = False
    idempotent: bool = False
    returns: Any = None


class ArrivalPart(_Part):
    """What arrives from outside while the agent waits: a user's message, or an event of a `source`.

    The same `id` twice is the same event delivered twice.
    """

    id: str
    user: str | None = None
    event: str | None = None
    source: str | None = None
    payload: Any = None

    @field_validator("id", "user", "event", "source")
    @classmethod
    def _says_something(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("this is blank; write what it is")
        return value

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.user is None) == (self.event is None):
            raise ValueError(
                "what arrives is a 'user' with a text, or an 'event' with a kind and a 'source'; write one"
            )
        if self.event is not None and self.source is None:
            raise ValueError(f"event {self.event!r} needs a 'source', such as signing; add it")
        for key in ("source", "payload"):
            if self.user is not None and key in self.model_fields_set:
                raise ValueError(f"{key!r} belongs to an 'event', and this is a 'user'; remove it")
        return self

    def arrival(self) -> Arrival:
        """The delivery for the adapter."""
        if self.user is not None:
            return Arrival("user", self.id, "user.message", {"text": self.user})
        return Arrival(self.source or "", self.id, self.event or "", self.payload)


class BudgetPart(_Part):
    """What one run may use at most, whatever breaks."""

    model_calls: int | None = Field(default=None, ge=1)
    tool_calls: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)


class WorldPart(_Part):
    """Part of the world after a success: how often a tool's effect with these arguments is on the ledger."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    count: int = Field(default=1, ge=0)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.tool}({inside}) committed {self.count} time(s)"


class Scenario(_Part):
    """One file. `agent` names a module of agentfsm's kind, with a `build(store=, model=, tools=, observer=)`.

    `path` are the stages the clean run goes through, in order; `budgets` hold in every run, faults or not.
    """

    title: str
    agent: str = Field(pattern=r"^[A-Za-z_][\w.]*$")
    task: str = Field(min_length=1)
    model: list[TurnPart] = Field(min_length=1)
    tools: dict[str, ToolPart] = Field(default_factory=dict)
    arrives: list[ArrivalPart] = Field(default_factory=list)
    world: list[WorldPart] = Field(default_factory=list)
    expect: str = "success"
    path: list[str] = Field(default_factory=list)
    budgets: BudgetPart = BudgetPart()
    faults: list[str] = Field(default_factory=lambda: ["*"], min_length=1)
    must_recover: bool = False
