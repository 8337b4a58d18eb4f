"""Environments: dev, staging and prod as YAML with inheritance; secrets and URLs from the process environment alone.

Not imported by `import agentfsm`, for most of what is in here is needed once, at the start of a service.
"""

from __future__ import annotations

from agentfsm.config.environment import Environment, ModelSettings, Reference, WorkerSettings
from agentfsm.config.layers import names
from agentfsm.config.loading import load_environment

__all__ = ["Environment", "ModelSettings", "Reference", "WorkerSettings", "load_environment", "names"]
