"""The support agent with its next version beside it: the same work, asked for in fewer words.

Nobody gets version 2 until an operator says so, with the control `rollout:support_refund`: as a shadow, whose effects
are stubbed and whose differences are noted, or as a canary, which is taken back where it does worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from agentfsm.agents.support_refund import CONTRACTS, PROMPTS, WORKFLOW
from agentfsm.generation import Generation
from agentfsm.ports import Model, Store
from agentfsm.rollout_plan import Rollout
from agentfsm.runtime import Runtime
from agentfsm.tools import callable_tools

_PROMPT = PROMPTS["support_refund", 2]
NEXT = replace(WORKFLOW, version=2, instructions=_PROMPT.text, prompt=_PROMPT)


def build(*, store: Store, model: Model, tools: Mapping[str, Callable[..., Any]], **settings: Any) -> Runtime:
    """Return the agent in both versions; the rest is as for `support_refund.build`."""
    made = callable_tools(CONTRACTS, tools)
    return Runtime(
        workflow=NEXT,
        earlier=[Generation(WORKFLOW, made)],
        rollout=Rollout(stable=WORKFLOW.version),
        model=model,
        tools=made,
        store=store,
        **settings,
    )
