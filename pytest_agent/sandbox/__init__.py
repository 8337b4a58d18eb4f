"""The world the agent acts in: tools with a ledger of what they changed."""

from pytest_agent.sandbox.ledger import Entry, Ledger
from pytest_agent.sandbox.sandbox import Sandbox

__all__ = ["Entry", "Ledger", "Sandbox"]
