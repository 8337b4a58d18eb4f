"""What the model says, and every wire on which it says it."""

from pytest_agent.llm.turn import ToolCall, Turn, Usage, call

__all__ = ["ToolCall", "Turn", "Usage", "call"]
