"""A reference agent runtime: a state machine outside the model, durable and honest.

`agents.support_refund` is a whole agent built on it, `models.openai_chat` a client, `store.sqlite` a store.
"""

from __future__ import annotations

from agentfsm.budgets import Limits
from agentfsm.contracts import Effect, ToolContract
from agentfsm.errors import AgentError, Conflict, IncompleteTurn, InputChanged, InvalidTransition, ModelError
from agentfsm.models.openai_chat import OpenAIChat
from agentfsm.records import Commit, TaskResult
from agentfsm.runtime import Runtime
from agentfsm.stages import Stage
from agentfsm.states import Event, State
from agentfsm.store.sqlite import SQLiteStore
from agentfsm.tools import CallableTool
from agentfsm.turns import Turn
from agentfsm.workflow import Workflow

__all__ = [
    "AgentError",
    "CallableTool",
    "Commit",
    "Conflict",
    "Effect",
    "Event",
    "IncompleteTurn",
    "InputChanged",
    "InvalidTransition",
    "Limits",
    "ModelError",
    "OpenAIChat",
    "Runtime",
    "SQLiteStore",
    "Stage",
    "State",
    "TaskResult",
    "ToolContract",
    "Turn",
    "Workflow",
]
