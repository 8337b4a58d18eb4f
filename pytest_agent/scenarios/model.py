"""The schema of a scenario file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pytest_agent.adapters.arrivals import CONTROL, Arrival
from pytest_agent.llm.turn import Turn, call
from pytest_agent.llm.turn_part import SaidPart
from pytest_agent.yaml_file import Place


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TurnPart(SaidPart):
    """One turn of the model: `text`, `refusal`, or `call` with one or several tools and their arguments."""

    call: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and self.refusal is None and not self.call:
            raise ValueError("a turn says 'text', or 'call's tools, or both, or a 'refusal'")
        return self

    def turn(self) -> Turn:
        """The turn for the script."""
        return self.said([call(name, **arguments) for name, arguments in self.call.items()])


class ToolPart(_Part):
    """A tool of the sandbox: it answers what stands in `first`, one call each, and then always `returns`."""

    effect: bool = False
    idempotent: bool = False
    first: list[Any] = Field(default_factory=list)
    returns: Any = None

    @model_validator(mode="after")
    def _first_is_without_effect(self) -> Self:
        if self.first and self.effect:
            raise ValueError("'first' is for tools without 'effect', whose calls all count; remove one of them")
        return self


class ArrivalPart(_Part):
    """What arrives from outside while the agent waits: a user's message, an event of a `source`, or a `control`.

    The same `id` twice is the same event delivered twice. `after_s` virtual seconds pass before it comes. A control is
    what an operator switches, such as `{kill:all: stop}`.
    """

    id: str
    user: str | None = None
    event: str | None = None
    source: str | None = None
    payload: Any = None
    control: dict[str, Any] | None = Field(default=None, min_length=1, max_length=1)
    after_s: float = Field(default=0.0, ge=0, le=31_536_000)

    @field_validator("id", "user", "event", "source")
    @classmethod
    def _says_something(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("this is blank; write what it is")
        return value

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if sum(said is not None for said in (self.user, self.event, self.control)) != 1:
            raise ValueError(
                "what arrives is a 'user' with a text, an 'event' with a kind and a 'source', or a 'control'; write one"
            )
        if self.event is not None and self.source is None:
            raise ValueError(f"event {self.event!r} needs a 'source', such as signing; add it")
        for key in ("source", "payload"):
            if self.event is None and key in self.model_fields_set:
                kind = "user" if self.user is not None else "control"
                raise ValueError(f"{key!r} belongs to an 'event', and this is a {kind!r}; remove it")
        return self

    def arrival(self) -> Arrival:
        """The delivery for the adapter."""
        if self.user is not None:
            return Arrival("user", self.id, "user.message", {"text": self.user}, self.after_s)
        if self.control is not None:
            ((key, value),) = self.control.items()
            return Arrival(CONTROL, self.id, CONTROL, {"key": key, "value": value}, self.after_s)
        return Arrival(self.source or "", self.id, self.event or "", self.payload, self.after_s)


class BudgetPart(_Part):
    """What one run may use at most, whatever breaks."""

    model_calls: int | None = Field(default=None, ge=1)
    tool_calls: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)


class WorldPart(_Part):
    """Part of the world after a clean run, and after every success: how often a tool's effect is on the ledger.

    Counted are the effects with these arguments; without any, all of the tool.
    """

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    count: int = Field(default=1, ge=0)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.tool}({inside}) committed {self.count} time(s)"


class TaskPart(_Part):
    """One task of the agent: what it is asked, what the model says, what arrives, and how it ends.

    The clean run is held to all of it: `expect` and `cause` are its outcome, `workflow` the version it is on, `path`
    the stages it goes through, in order. `reports` are what the agent reports meanwhile of the kinds that are named
    there: each row in order, with these fields at least, and no further row of these kinds. `world` holds after a
    success under faults as well.
    """

    id: str = Field(default="task-1", min_length=1)
    task: str = Field(min_length=1)
    model: list[TurnPart] = Field(min_length=1)
    arrives: list[ArrivalPart] = Field(default_factory=list)
    world: list[WorldPart] = Field(default_factory=list)
    expect: str = "success"
    cause: str | None = None
    workflow: str | None = None
    path: list[str] = Field(default_factory=list)
    reports: list[dict[str, Any]] = Field(default_factory=list)


class NextPart(TaskPart):
    """A task that is given to the agent when the one before has ended, `after_s` virtual seconds later."""

    id: str = Field(min_length=1)
    after_s: float = Field(default=0.0, ge=0, le=31_536_000)


class Scenario(TaskPart):
    """One file. `agent` names a module of agentfsm's kind, with a `build(store=, model=, tools=, observer=)`.

    `then` are further tasks over the same store and the same world, each in a process of its own. `budgets` hold in
    every run, faults or not, for all tasks together. A `dry_run` answers tools that have an effect with their example.
    One with a schedule in `under` runs under it, with `--chaos` and without, and under no other.
    """

    title: str
    agent: str = Field(pattern=r"^[A-Za-z_][\w.]*$")
    tools: dict[str, ToolPart] = Field(default_factory=dict)
    then: list[NextPart] = Field(default_factory=list)
    dry_run: bool = False
    budgets: BudgetPart = BudgetPart()
    faults: list[str] = Field(default_factory=lambda: ["*"], min_length=1)
    must_recover: bool = False
    under: str | None = None

    def tasks(self) -> Iterator[tuple[Place, TaskPart]]:
        """The tasks in order, and where each stands in the file."""
        yield (), self
        for index, task in enumerate(self.then):
            yield ("then", index), task
