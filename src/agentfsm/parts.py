"""What a runtime is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentfsm.budgets import Limits
from agentfsm.contracts import Effect
from agentfsm.ports import Clock, Model, Store, Tool
from agentfsm.recovery import Retry
from agentfsm.telling import Telling
from agentfsm.workflow import Workflow


@dataclass(frozen=True)
class Parts:
    """The workflow, the ports and the policies of one runtime."""

    workflow: Workflow
    model: Model
    tools: Mapping[str, Tool]
    store: Store
    clock: Clock
    limits: Limits
    retry: Retry
    telling: Telling

    def may_repeat(self, tool: str | None) -> bool:
        """Whether a step whose reply was lost may be tried again; None stands for the model."""
        if tool is None:
            return True
        effect = self.tools[tool].contract.effect
        return effect in {Effect.PURE, Effect.IDEMPOTENT} or (effect is Effect.QUERYABLE and self.tools[tool].can_query)
