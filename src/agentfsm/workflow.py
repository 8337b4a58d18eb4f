"""A workflow: the stages of a task, what is allowed in each, and what counts as done. Pure functions only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from agentfsm.contracts import Effect, ToolContract
from agentfsm.errors import DefinitionError
from agentfsm.fallbacks import Fallback
from agentfsm.prompts import Prompt
from agentfsm.waits import Business, Wait

Arguments = Mapping[str, Any]


Calls = Sequence[tuple[str, Arguments]]
"""Tools and their arguments."""


@dataclass(frozen=True)
class Stage:
    """One declared stage: the tools it allows, when it is left behind, and what it may have to wait for.

    A branch is a stage that `applies_when` the business state says so. With `calls` the orchestrator itself makes
    the calls of the stage, all of one list at once, and asks again until the stage is left: no model is needed for
    what is known beforehand. With `parallel`, pure calls of one turn run at once. `role` names who is asked here.
    `visits` bounds how often the stage may be entered (None: as the budget allows), and so every loop through it.
    """

    name: str
    tools: frozenset[str]
    left_when: Callable[[Business], bool]
    wait: Wait | None = None
    applies_when: Callable[[Business], bool] = lambda _business: True
    calls: Callable[[Business], Calls] | None = None
    parallel: bool = False
    role: str | None = None
    visits: int | None = None


@dataclass(frozen=True)
class Role:
    """Who the model is in a stage: its own prompt, and no more tools than it needs."""

    prompt: Prompt
    tools: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Never:
    """Something this workflow does under no circumstances, whoever proposes it.

    `forbids` takes the tool, its arguments and the business state.
    """

    name: str
    forbids: Callable[[str, Arguments, Business], bool]


@dataclass(frozen=True)
class Abort:
    """The business rules success out: the task fails with `cause`.

    With `explained` the model is heard first and its text is the answer, else `answer` is.
    """

    cause: str
    explained: bool = False
    answer: str = ""


@dataclass(frozen=True)
class Workflow:
    """What a task has to go through. The model proposes inside these rules; it never changes them.

    `begin` makes the first business state from the user's text, `fold` the next one from a successful tool
    call. A guard returns None, or the reason why these arguments are refused now. `done_when` is the
    post-condition of success; `goal` says it in words for the model. `aborted_when` says that it can no longer
    be reached. `compensations` maps a tool with an effect to a function of its arguments and its answer, which
    returns the arguments of the tool whose contract compensates it. `prompt` replaces `instructions` where it is
    given. `answers` is what the orchestrator answers once the task is done, in place of a last text of the model;
    `answer_schema` is what such a text has to satisfy, as JSON. `fallbacks` are tried in order where a tool cannot
    do its work and nothing is in doubt.
    """

    name: str
    version: int
    instructions: str
    goal: str
    contracts: tuple[ToolContract, ...]
    stages: tuple[Stage, ...]
    begin: Callable[[str], Business]
    fold: Callable[[Business, str, Arguments, Mapping[str, Any]], Business]
    done_when: Callable[[Business], bool]
    partial_when: Callable[[Business], bool] = field(default=lambda _business: False)
    aborted_when: Callable[[Business], Abort | None] = field(default=lambda _business: None)
    guards: Mapping[str, Callable[[Business, Arguments], str | None]] = field(default_factory=dict)
    compensations: Mapping[str, Callable[[Arguments, Mapping[str, Any]], Arguments]] = field(default_factory=dict)
    prompt: Prompt | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    never: tuple[Never, ...] = ()
    answers: Callable[[Business], str] | None = None
    answer_schema: type[BaseModel] | None = None
    fallbacks: Mapping[str, tuple[Fallback, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {contract.name for contract in self.contracts}
        undone = {c.compensates for c in self.contracts if c.compensates}
        named = set(self.guards) | undone | {tool for stage in self.stages for tool in stage.tools}
        if unknown := sorted(named - known):
            raise DefinitionError(f"workflow {self.name!r} names tools without a contract: {unknown}")
        if len(known) != len(self.contracts) or not self.stages:
            raise DefinitionError(f"workflow {self.name!r} needs stages, and each contract once")
        undoing = [c for c in self.contracts if c.compensates]
        if undone != set(self.compensations) or len(undone) != len(undoing):
            said = f"compensates {sorted(undone)}, but gives arguments for {sorted(self.compensations)}"
            raise DefinitionError(f"workflow {self.name!r} {said}; name each once in both")
        if bad := sorted(c.name for c in undoing if c.effect not in {Effect.IDEMPOTENT, Effect.QUERYABLE}):
            raise DefinitionError(f"workflow {self.name!r}: {bad} must be idempotent or queryable to compensate")

    @property
    def label(self) -> str:
        """Name and version, as stored with the task."""
        return f"{self.name}@{self.version}"

    def contract(self, tool: str) -> ToolContract | None:
        """Return the contract of a tool, or None."""
        return next((c for c in self.contracts if c.name == tool), None)

    def undoing(self, tool: str | None) -> ToolContract | None:
        """Return the contract of the tool that compensates this one, or None."""
        return next((c for c in self.contracts if tool is not None and c.compensates == tool), None)

    def offers(self) -> list[ToolContract]:
        """Return the contracts that the model is told of: those some stage allows."""
        return [c for c in self.contracts if any(c.name in stage.tools for stage in self.stages)]

    def stage(self, business: Business) -> Stage:
        """Return the first stage that applies and is not yet left behind; the last one stays for good."""
        return next(
            (s for s in self.stages if s.applies_when(business) and not s.left_when(business)), self.stages[-1]
        )

    def refusal(self, business: Business, tool: str) -> tuple[str, str] | None:
        """Return `(code, reason)` where the tool is unknown or not allowed in this stage, else None."""
        names = sorted(c.name for c in self.contracts)
        if tool not in names:
            near = difflib.get_close_matches(tool, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            return "unknown_tool", f"There is no tool {tool!r}.{hint} Known: {names}."
        stage = self.stage(business)
        if tool not in stage.tools:
            return (
                "not_allowed",
                f"{tool!r} is not allowed in stage {stage.name}. Allowed: {sorted(stage.tools)}.",
            )
        return None
