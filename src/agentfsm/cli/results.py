"""Printing what a task claims, and the exit code it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from agentfsm.cli.output import Output, inline
from agentfsm.records import TaskResult
from agentfsm.states import State


def exit_code(result: TaskResult) -> int:
    """Return 1 where the task failed, else 0."""
    return int(result.state is State.FAILED)


def document(result: TaskResult) -> dict[str, Any]:
    """Return a result as plain data."""
    return {**asdict(result), "state": result.state.value}


def say(out: Output, result: TaskResult) -> int:
    """Print a result and return its exit code."""
    out.say(document(result), lines(result))
    return exit_code(result)


def lines(result: TaskResult) -> Iterator[str]:
    """Put a result into words."""
    cause = f" ({result.cause})" if result.cause else ""
    yield f"task {result.request_id}: {result.outcome}{cause}, {result.state.value}"
    for line in result.answer.splitlines():
        yield f"  {line}"
    for title, entries in (("done", result.done), ("not done", result.not_done), ("unknown", result.unknown)):
        for entry in entries:
            yield f"  {title}: {_entry(entry)}"
    if result.state is State.WAITING_EXTERNAL:
        yield f"  It waits. What it waits for: agentfsm show {result.request_id}"
    elif result.unknown:
        yield "  What is unknown may have happened: look at the other side before you ask for it again."


def _entry(entry: Mapping[str, Any]) -> str:
    if "goal" in entry:
        return str(entry["goal"])
    rest = {name: value for name, value in entry.items() if name not in {"tool", "key", "effect_class"}}
    return " ".join([f"{entry['tool']} [{entry['key']}]", *(f"{name}={inline(value)}" for name, value in rest.items())])
