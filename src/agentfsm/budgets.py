"""Budgets: the limits of a task and the meter that is stored with it. Every attempt counts, also a failed one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from agentfsm.errors import DefinitionError
from agentfsm.turns import Message, Turn, Usage

CHARS_PER_TOKEN = 3  # on the safe side of what providers count for plain text


@dataclass(frozen=True)
class Limits:
    """What one task may use. Every limit is the highest value still allowed."""

    steps: int = 20
    model_calls: int = 25
    """Wire attempts, over all steps."""
    tool_calls: int = 25
    """Attempts, over all steps."""
    tokens: int = 200_000
    wall_s: float = 300.0
    """Seconds from the first commit of the task, over all resumes; a declared wait stops the clock."""
    step_s: float = 30.0
    """Seconds for one step, over all its attempts."""
    attempts: int = 5
    """Wire attempts of one logical call."""
    corrections: int = 2
    """Turns in a row that may be answered with a reason instead of a result."""
    same_call: int = 3
    """Calls of one tool with the same arguments."""
    cost_usd: float | None = None
    """USD, by the prices of the models; None: not limited."""
    depth: int = 3
    """Tasks below one another that hand work down."""
    per_tool: Mapping[str, int] = field(default_factory=dict)
    """Attempts at one tool, by its name."""
    parallel: int = 8
    """Steps of one task that run at the same time."""
    no_progress: int = 10
    """Successful calls in a row that leave the business state as it was."""
    lease_s: float = 30.0
    """Seconds without a commit, at least `step_s`, after which another worker may take the task over."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None or item.name == "per_tool":
                continue
            if value < (0 if item.name == "corrections" else 1e-9):
                raise DefinitionError(f"Limits({item.name}={value!r}) allows nothing; give a larger value")
        if bad := sorted(tool for tool, most in self.per_tool.items() if most < 1):
            raise DefinitionError(f"Limits(per_tool=...) allows nothing for {bad}; give at least 1 or leave it out")

    def describe(self) -> dict[str, Any]:
        """Return the limits as plain data."""
        return asdict(self)


Used = Mapping[str, Any]
"""The meter of a task, as it is stored with it: `steps`, `model_calls`, `tool_calls`, `tokens`, and where they are
bounded `cost_usd`, `tools` (by name), `idle` (calls in a row without progress) and `visits` (by stage)."""


def plus(used: Used, **more: float) -> dict[str, Any]:
    """Return the meter moved on."""
    moved = dict(used)
    for name, n in more.items():
        if n:
            moved[name] = moved.get(name, 0) + n
    return moved


def plus_each(used: Used, group: str, name: str) -> dict[str, Any]:
    """Return the meter with one more of `name` in a group such as `tools`."""
    counts = used.get(group, {})
    return {**used, group: {**counts, name: counts.get(name, 0) + 1}}


def over(used: Used, limits: Limits) -> str | None:
    """Return the stable code of the first limit that is exceeded, or None."""
    count = used.get
    if count("steps", 0) > limits.steps:
        return "limit_steps"
    if count("model_calls", 0) > limits.model_calls:
        return "limit_model_calls"
    if count("tool_calls", 0) > limits.tool_calls:
        return "limit_tool_calls"
    if count("tokens", 0) > limits.tokens:
        return "limit_tokens"
    if limits.cost_usd is not None and used.get("cost_usd", 0.0) > limits.cost_usd:
        return "limit_cost_usd"
    if limits.per_tool and any(n > limits.per_tool.get(tool, n) for tool, n in used.get("tools", {}).items()):
        return "limit_per_tool"
    return None


def usage_of(messages: tuple[Message, ...], turn: Turn | None) -> Usage:
    """Return the provider's count where it gave one, else an estimate: missing usage is never zero."""
    if turn is not None and turn.usage is not None:
        return turn.usage
    sent = sum(len(m.text) + sum(len(c.arguments) for c in m.calls) for m in messages)
    got = 0 if turn is None else len(turn.text) + sum(len(c.arguments) for c in turn.calls)
    return Usage(input_tokens=1 + sent // CHARS_PER_TOKEN, output_tokens=got // CHARS_PER_TOKEN)


def tokens_of(messages: tuple[Message, ...], turn: Turn | None) -> int:
    """Return the tokens of one exchange, as `usage_of` has them."""
    usage = usage_of(messages, turn)
    return usage.input_tokens + usage.output_tokens
