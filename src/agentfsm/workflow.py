"""A workflow: the stages of a task, what is allowed in each, and what counts as done. Pure functions only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from agentfsm.contracts import Effect, ToolContract
from agentfsm.errors import ContractViolation, DefinitionError
from agentfsm.fallbacks import Cached, Degraded, Fallback, OtherTool
from agentfsm.prompts import Prompt
from agentfsm.stages import Abort, Arguments, Never, Role, Stage
from agentfsm.waits import Business


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
        if bad := sorted(c.name for c in undoing if c.needs_approval):
            raise DefinitionError(f"workflow {self.name!r}: {bad} may not need an approval, for nobody is there to ask")
        self._check_roles()
        self._check_fallbacks(known)

    def _check_roles(self) -> None:
        for stage in self.stages:
            if stage.role is None:
                continue
            if stage.role not in self.roles:
                near = difflib.get_close_matches(stage.role, self.roles, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise DefinitionError(f"stage {stage.name} has role {stage.role!r}, known: {sorted(self.roles)}{hint}")
            if more := sorted(stage.tools - self.roles[stage.role].tools):
                raise DefinitionError(f"stage {stage.name} allows {more}, which role {stage.role!r} does not have")

    def _check_fallbacks(self, known: set[str]) -> None:
        for tool, fallbacks in self.fallbacks.items():
            others = {f.tool for f in fallbacks if isinstance(f, OtherTool)}
            if unknown := sorted({tool, *others} - known):
                raise DefinitionError(f"a fallback of workflow {self.name!r} names tools without a contract: {unknown}")
            for fallback in fallbacks:
                if isinstance(fallback, Cached) and self._by_name[tool].effect is not Effect.PURE:
                    raise DefinitionError(f"{tool}: a cached answer is no substitute for an effect; drop Cached()")
                if isinstance(fallback, OtherTool) and self._by_name[fallback.tool].needs_approval:
                    raise DefinitionError(f"{tool}: {fallback.tool!r} needs an approval, so it is no fallback")
                if isinstance(fallback, Degraded):
                    try:
                        self._by_name[tool].check(fallback.output)
                    except ContractViolation as error:
                        raise DefinitionError(f"{tool}: Degraded() does not fit its contract: {error}") from None

    @property
    def label(self) -> str:
        """Name and version, as stored with the task."""
        return f"{self.name}@{self.version}"

    @cached_property
    def main_prompt(self) -> Prompt:
        """What the model is told where the stage has no role."""
        return self.prompt or Prompt(self.name, self.version, self.instructions)

    @cached_property
    def waits(self) -> bool:
        """Whether any stage waits for something, so that events may have come early."""
        return any(stage.wait is not None for stage in self.stages)

    @cached_property
    def _by_name(self) -> Mapping[str, ToolContract]:
        return {c.name: c for c in self.contracts}

    @cached_property
    def _undoing(self) -> Mapping[str, ToolContract]:
        return {c.compensates: c for c in self.contracts if c.compensates}

    @cached_property
    def _offered(self) -> list[ToolContract]:
        return [c for c in self.contracts if any(c.name in stage.tools for stage in self.stages)]

    @cached_property
    def _by_plain_name(self) -> Mapping[str, str]:
        return {re.sub(r"\W", "_", name): name for name in self._by_name}

    def meant(self, tool: str) -> str:
        """Return the tool that a model means: providers allow no dots in names, so it may have said another form."""
        return tool if tool in self._by_name else self._by_plain_name.get(re.sub(r"\W", "_", tool), tool)

    def contract(self, tool: str) -> ToolContract | None:
        """Return the contract of a tool, or None."""
        return self._by_name.get(tool)

    def undoing(self, tool: str | None) -> ToolContract | None:
        """Return the contract of the tool that compensates this one, or None."""
        return self._undoing.get(tool or "")

    def offers(self, business: Business) -> list[ToolContract]:
        """Return the contracts that the model is told of: those of the stage's role, else those some stage allows."""
        role = self.stage(business).role
        if role is None:
            return self._offered
        return [c for c in self._offered if c.name in self.roles[role].tools]

    def stage(self, business: Business) -> Stage:
        """Return the first stage that applies and is not yet left behind; the last one stays for good."""
        for stage in self.stages:
            if (stage.applies_when is None or stage.applies_when(business)) and not stage.left_when(business):
                return stage
        return self.stages[-1]

    def refusal(self, business: Business, tool: str) -> tuple[str, str] | None:
        """Return `(code, reason)` where the tool is unknown or not allowed in this stage, else None."""
        if tool not in self._by_name:
            names = sorted(self._by_name)
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
