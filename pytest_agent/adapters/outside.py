"""Agents that are not in this process: what they have in common, and how the runner tells them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pytest_agent.outcome import OUTCOMES
from pytest_agent.run import Run

LIMIT_S = 30.0
"""Real seconds after which an agent outside is ended, where its test says nothing else."""


@runtime_checkable
class NeedsRun(Protocol):
    """An agent that can only be called once it knows the run of its test: `run_agent` tells it."""

    def of_run(self, run: Run) -> Callable[..., Any]:
        """What is called in its place, with the arguments of `run_agent`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent said at its end.

    `text` is its answer; `outcome` and `cause` are what it claims; `raw` is what it was read from: a process's
    stdout, a service's JSON, a framework's own result.
    """

    text: str
    outcome: str = "success"
    cause: str | None = None
    raw: Any = field(default=None, repr=False, compare=False)


def answer_of(data: object, raw: Any) -> Answer:
    """The answer in JSON data: an object with `outcome` is taken at its word, its `answer` or `text` being the text."""
    if not isinstance(data, Mapping):
        return Answer(_text(data), raw=raw)
    said = next((data[name] for name in ("answer", "text") if name in data), data)
    cause = data.get("cause")
    outcome = str(data.get("outcome", "success"))
    return Answer(_text(said), outcome, None if cause is None else str(cause), raw)


def said_in_json(line: str) -> Mapping[str, Any] | None:
    """A line of JSON that has an outcome in our words, or None: anything else is text like all text."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("outcome") in OUTCOMES else None


def tail(text: str, most: int = 200) -> str:
    """The end of a text, in one line."""
    line = " | ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= most else f"…{line[-most:]}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
