"""The schema of a scenario file."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pytest_agent.llm.turn import ToolCall, Turn, call


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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


class WorldPart(_Part):
    """Part of the world after a success: how often a tool's effect with these arguments is on the ledger."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    count: int = Field(default=1, ge=0)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.tool}({inside}) committed {self.count} time(s)"


class Scenario(_Part):
    """One file. `agent` names a module of agentfsm's kind, with a `build(store=, model=, tools=, observer=)`."""

    title: str
    agent: str = Field(pattern=r"^[A-Za-z_][\w.]*$")
    task: str = Field(min_length=1)
    model: list[TurnPart] = Field(min_length=1)
    tools: dict[str, ToolPart] = Field(default_factory=dict)
    world: list[WorldPart] = Field(default_factory=list)
    expect: str = "success"
    faults: list[str] = Field(default_factory=lambda: ["*"])
    must_recover: bool = False
