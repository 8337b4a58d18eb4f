"""A reference agent runtime: a state machine outside the model, durable and honest.

`agents.support_refund` is a whole agent built on it. What speaks to model providers is loaded where it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentfsm.breaker import Breaker
from agentfsm.budgets import Limits
from agentfsm.contracts import Effect, ToolContract
from agentfsm.delegating import DelegatedTask
from agentfsm.errors import AgentError, Conflict, IncompleteTurn, InputChanged, InvalidTransition, ModelError
from agentfsm.fallbacks import Cached, Degraded, OtherTool, Person
from agentfsm.generation import Generation
from agentfsm.prompts import Prompt, load_prompts
from agentfsm.records import Commit, TaskResult
from agentfsm.recovery import Retry
from agentfsm.rollout_plan import Rollout
from agentfsm.runtime import Runtime
from agentfsm.stages import Abort, Never, Role, Stage
from agentfsm.states import Event, State
from agentfsm.store.sqlite import SQLiteStore
from agentfsm.tools import CallableTool
from agentfsm.turns import Turn
from agentfsm.waits import Wait
from agentfsm.worker import Worker
from agentfsm.workflow import Workflow

if TYPE_CHECKING:
    from agentfsm.models.anthropic_messages import AnthropicMessages
    from agentfsm.models.openai_chat import OpenAIChat

_LATER = {
    "AnthropicMessages": "agentfsm.models.anthropic_messages",
    "OpenAIChat": "agentfsm.models.openai_chat",
}


def __getattr__(name: str) -> Any:
    """Load a client with its HTTP library."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'agentfsm' has no attribute {name!r}")


__all__ = [
    "Abort",
    "AgentError",
    "AnthropicMessages",
    "Breaker",
    "Cached",
    "CallableTool",
    "Commit",
    "Conflict",
    "Degraded",
    "DelegatedTask",
    "Effect",
    "Event",
    "Generation",
    "IncompleteTurn",
    "InputChanged",
    "InvalidTransition",
    "Limits",
    "ModelError",
    "Never",
    "OpenAIChat",
    "OtherTool",
    "Person",
    "Prompt",
    "Retry",
    "Role",
    "Rollout",
    "Runtime",
    "SQLiteStore",
    "Stage",
    "State",
    "TaskResult",
    "ToolContract",
    "Turn",
    "Wait",
    "Worker",
    "Workflow",
    "load_prompts",
]
