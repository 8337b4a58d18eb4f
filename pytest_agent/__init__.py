"""Test LLM agents with pytest, and break them on purpose.

What test authors import. Names are resolved when first used, so that a session that uses none of this pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_agent.adapters.agentfsm import AgentFsm
    from pytest_agent.adapters.arrivals import Arrival
    from pytest_agent.adapters.command import command
    from pytest_agent.adapters.outside import Answer
    from pytest_agent.adapters.restartable import restartable
    from pytest_agent.adapters.runner import AgentRunner, RestartableAgent
    from pytest_agent.adapters.url import agent_at
    from pytest_agent.clock import Clock
    from pytest_agent.errors import LeftoverTurns, PytestAgentError, ServerFailed, UnansweredCall, UsageError
    from pytest_agent.llm.model import ScriptedModel
    from pytest_agent.llm.pace import Pace
    from pytest_agent.llm.persona import Persona
    from pytest_agent.llm.prices import Prices
    from pytest_agent.llm.request import ModelRequest
    from pytest_agent.llm.server.server import LlmServer
    from pytest_agent.llm.turn import ToolCall, Turn, Usage, call
    from pytest_agent.outcome import AgentFailed
    from pytest_agent.sandbox import Ledger, Sandbox

_HOMES = {
    "AgentFailed": "pytest_agent.outcome",
    "AgentFsm": "pytest_agent.adapters.agentfsm",
    "AgentRunner": "pytest_agent.adapters.runner",
    "Answer": "pytest_agent.adapters.outside",
    "Arrival": "pytest_agent.adapters.arrivals",
    "Clock": "pytest_agent.clock",
    "Ledger": "pytest_agent.sandbox",
    "LlmServer": "pytest_agent.llm.server.server",
    "LeftoverTurns": "pytest_agent.errors",
    "ModelRequest": "pytest_agent.llm.request",
    "Pace": "pytest_agent.llm.pace",
    "Persona": "pytest_agent.llm.persona",
    "Prices": "pytest_agent.llm.prices",
    "PytestAgentError": "pytest_agent.errors",
    "RestartableAgent": "pytest_agent.adapters.runner",
    "Sandbox": "pytest_agent.sandbox",
    "ScriptedModel": "pytest_agent.llm.model",
    "ServerFailed": "pytest_agent.errors",
    "ToolCall": "pytest_agent.llm.turn",
    "Turn": "pytest_agent.llm.turn",
    "UnansweredCall": "pytest_agent.errors",
    "Usage": "pytest_agent.llm.turn",
    "UsageError": "pytest_agent.errors",
    "agent_at": "pytest_agent.adapters.url",
    "call": "pytest_agent.llm.turn",
    "command": "pytest_agent.adapters.command",
    "restartable": "pytest_agent.adapters.restartable",
}

__all__ = [
    "AgentFailed",
    "AgentFsm",
    "AgentRunner",
    "Answer",
    "Arrival",
    "Clock",
    "Ledger",
    "LeftoverTurns",
    "LlmServer",
    "ModelRequest",
    "Pace",
    "Persona",
    "Prices",
    "PytestAgentError",
    "RestartableAgent",
    "Sandbox",
    "ScriptedModel",
    "ServerFailed",
    "ToolCall",
    "Turn",
    "UnansweredCall",
    "Usage",
    "UsageError",
    "agent_at",
    "call",
    "command",
    "restartable",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pytest_agent' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
