"""What a runtime is made of, for the tasks of one workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentfsm.breakers import Breakers
from agentfsm.budgets import Limits
from agentfsm.contracts import Effect
from agentfsm.errors import DefinitionError
from agentfsm.fallbacks import Cached
from agentfsm.generation import Generation
from agentfsm.masking import Masker
from agentfsm.memory import Memory
from agentfsm.policy import Switches
from agentfsm.ports import Clock, Model, Store, Tool
from agentfsm.prices import Price
from agentfsm.records import INTERRUPTED, Step
from agentfsm.recovery import ErrorClass, Retry
from agentfsm.switchboard import Switchboard
from agentfsm.telling import Telling
from agentfsm.throttle import Throttle, throttle_of
from agentfsm.turns import Usage
from agentfsm.workflow import Workflow

SWITCH_AFTER = 2
"""Failures in a row after which the next model is asked."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The ports and policies of one runtime, the same for all generations of its workflow."""

    store: Store
    clock: Clock
    limits: Limits
    retry: Retry
    telling: Telling
    board: Switchboard
    breakers: Breakers
    price: Price
    approval_s: float
    patience_s: float
    masker: Masker
    cache: Memory = field(default_factory=Memory)


@dataclass(frozen=True, kw_only=True)
class Parts(Shared):
    """What a task of one generation runs on."""

    workflow: Workflow
    models: tuple[Model, ...]
    tools: Mapping[str, Tool]
    throttles: Mapping[str, Throttle]

    @property
    def switches(self) -> Switches:
        """Flags and kill switch as they were last seen."""
        return self.board.switches

    def may_repeat(self, tool: str | None) -> bool:
        """Whether a step whose reply was lost may be tried again; None stands for the model."""
        if tool is None:
            return True
        effect = self.tools[tool].contract.effect
        return effect in {Effect.PURE, Effect.IDEMPOTENT} or (effect is Effect.QUERYABLE and self.tools[tool].can_query)

    def model_for(self, steps: Sequence[Step], step: Step) -> tuple[str, Model]:
        """Return the model that the next attempt of a step asks, and its name.

        The first one, until it refuses for good or fails twice in a row; then the next.
        """
        place, failures = 0, 0
        for tried in steps if len(self.models) > 1 else ():
            if tried.step_id != step.step_id or tried.status in {"pending", "success"}:
                continue
            if tried.error_code == INTERRUPTED:
                continue  # the process died, which says nothing of the model
            failures += 1
            if tried.error_class == ErrorClass.PERMANENT or failures >= SWITCH_AFTER:
                place, failures = place + 1, 0
        model = self.models[min(place, len(self.models) - 1)]
        return name_of(model), model

    def remember(self, step: Step, at: float, output: Mapping[str, Any]) -> None:
        """Keep the answer of a tool that may have to be answered from memory one day."""
        if any(isinstance(fallback, Cached) for fallback in self.workflow.fallbacks.get(step.tool or "", ())):
            self.cache.keep(step.tool or "", step.input_hash, at, output)


def assemble(generations: Sequence[Generation], models: tuple[Model, ...], shared: Shared) -> dict[str, Parts]:
    """Return the parts by label.

    Raise DefinitionError where a generation is there twice or of another workflow, where it needs a model and has
    none, and where a limit of cost could not be kept.
    """
    made: dict[str, Parts] = {}
    for one in generations:
        name, label = generations[0].workflow.name, one.workflow.label
        if one.workflow.name != name or label in made:
            raise DefinitionError(f"generation {label} is there twice, or not one of workflow {name!r}")
        throttles = {
            tool: throttle
            for tool, adapter in one.tools.items()
            if (throttle := throttle_of(adapter.contract, shared.clock)) is not None
        }
        asked = one.models or models
        _check_models(one.workflow, asked, shared)
        made[label] = Parts(**vars(shared), workflow=one.workflow, models=asked, tools=one.tools, throttles=throttles)
    return made


def _check_models(workflow: Workflow, models: Sequence[Model], shared: Shared) -> None:
    if not models and workflow.answers is None:
        raise DefinitionError(f"{workflow.label} has no model and no `answers`, so nothing could give its last answer")
    if shared.limits.cost_usd is None:
        return
    for name in map(name_of, models):
        if shared.price(name, Usage(input_tokens=1, output_tokens=1)) is None:
            said = f"Limits(cost_usd={shared.limits.cost_usd}) cannot be kept: no price is known of model {name!r}"
            raise DefinitionError(f"{said}. Give Runtime(price=) one that knows it, or leave the limit out")


def name_of(model: Model) -> str:
    """Return the name of a model as records have it."""
    return getattr(model, "name", None) or type(model).__name__
