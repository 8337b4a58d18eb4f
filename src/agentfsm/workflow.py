"""A workflow: the stages of a task, what is allowed in each, and what counts as done. Pure functions only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentfsm.contracts import ToolContract
from agentfsm.errors import DefinitionError

Business = Mapping[str, Any]
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One declared stage: the tools it allows, and when it is left behind."""

    name: str
    tools: frozenset[str]
    left_when: Callable[[Business], bool]


@dataclass(frozen=True)
class Workflow:
    """What a task has to go through. The model proposes inside these rules; it never changes them.

    `begin` makes the first business state from the user's text, `fold` the next one from a successful tool
    call. A guard returns None, or the reason why these arguments are refused now. `done_when` is the
    post-condition of success; `goal` says it in words for the model.
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
    guards: Mapping[str, Callable[[Business, Arguments], str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {contract.name for contract in self.contracts}
        undone = {c.compensates for c in self.contracts if c.compensates}
        named = set(self.guards) | undone | {tool for stage in self.stages for tool in stage.tools}
        if unknown := sorted(named - known):
            raise DefinitionError(f"workflow {self.name!r} names tools without a contract: {unknown}")
        if len(known) != len(self.contracts) or not self.stages:
            raise DefinitionError(f"workflow {self.name!r} needs stages, and each contract once")

    @property
    def label(self) -> str:
        """Name and version, as stored with the task."""
        return f"{self.name}@{self.version}"

    def contract(self, tool: str) -> ToolContract | None:
        """Return the contract of a tool, or None."""
        return next((c for c in self.contracts if c.name == tool), None)

    def stage(self, business: Business) -> Stage:
        """Return the first stage not yet left behind; the last one stays for good."""
        return next((s for s in self.stages if not s.left_when(business)), self.stages[-1])

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
