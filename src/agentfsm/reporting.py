"""The honest outcome in words: one template for users, one record for operators. Both from what is durable alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentfsm.explaining import Explained, explain
from agentfsm.masking import MORE, Bounds, Masker, mask
from agentfsm.records import Step, Task, TaskResult
from agentfsm.states import State
from agentfsm.store.schema import Schema

ANSWER, ENTRIES = 4_000, 20
"""Characters of an answer, and entries of a list, that a user is shown."""
RECORD = Bounds(text=2_000, items=60, depth=10, total=24_000)
"""The bounds of an operator's record."""

_STATUS: Mapping[str, str] = {
    "success": "Done.",
    "partial": "Partly done.",
    "failed": "Not done.",
    "cancelled": "Cancelled.",
    "limit": "Stopped at a limit.",
    "unknown": "It is not known whether it was done.",
}
_STAYS = "What is listed as done, and not as undone, stays done: say so when you ask again."


def for_user(result: TaskResult, steps: Sequence[Step]) -> str:
    """Return what a user is told of a task: status, answer, cause, what is done, not done and unknown, what to do next.

    Plain text. What a model or a tool said stands behind a bar, so that it cannot pass for a line of ours, and holds
    no character that a terminal or a reader would act on.
    """
    return "\n".join(_lines(result, explained(result, steps)))


def for_operator(
    result: TaskResult, task: Task, steps: Sequence[Step], masker: Masker = mask, bounds: Bounds = RECORD
) -> dict[str, Any]:
    """Return what an operator is told: all of the user's, whose fault it was, versions, budget, every attempt. Masked.

    The attempts stand last and the last first: where there is more than `bounds` allow, the oldest are left out.
    """
    said = explained(result, steps)
    record: dict[str, Any] = masker(
        {
            "request_id": result.request_id,
            "outcome": result.outcome,
            "cause": result.cause,
            "fault": said.fault,
            "incident": said.cause.incident,
            "words": said.cause.words,
            "next_step": said.cause.next_step,
            "state": result.state.value,
            "stage": task.current_step,
            "mode": task.mode,
            "last_error": task.last_error,
            "asked": task.asked,
            "versions": versions(task, steps),
            "budget_used": task.budget_used,
            "created_at": task.created_at,
            "waited_s": task.waited_s,
            "unknown": result.unknown,
            "not_done": result.not_done,
            "done": result.done,
            "input": task.text,
            "answer": result.answer,
            "business_state": task.business_state,
            "attempts": [_attempt(step) for step in reversed(steps)],
        },
        bounds,
    )
    return record


def explained(result: TaskResult, steps: Sequence[Step]) -> Explained:
    """Return why a task stands as it does."""
    return explain(result.cause, result.outcome, steps, waits=result.state is State.WAITING_EXTERNAL)


def versions(task: Task, steps: Sequence[Step]) -> dict[str, Any]:
    """Return every version that had a part in a task: workflow, stored form, prompts, models, tools."""
    return {
        "workflow": task.workflow,
        "schema": Schema().version,
        "prompts": sorted({step.prompt for step in steps if step.prompt}),
        "models": sorted({step.model for step in steps if step.model}),
        "tools": {s.tool: s.tool_version for s in steps if s.tool and s.tool_version is not None},
    }


def _attempt(step: Step) -> dict[str, Any]:
    took = None if step.finished_at is None else round(step.finished_at - step.created_at, 6)
    return {
        "step": step.step_id,
        "attempt": step.attempt,
        "kind": step.kind,
        "tool": step.tool,
        "status": step.status,
        "error_code": step.error_code,
        "error_class": step.error_class,
        "effect_class": step.effect_class,
        "at": step.created_at,
        "took_s": took,
        "input": step.input_data,
        "output": step.output_data,
    }


def _lines(result: TaskResult, said: Explained) -> Iterator[str]:
    waits = result.state is State.WAITING_EXTERNAL and result.outcome == "partial"
    under_way = "Not finished yet." if waits or result.cause == "running" else None
    yield under_way or _STATUS[result.outcome]
    if result.answer.strip():
        yield "Answer:"
        yield from (f"  | {line}" for line in plain(result.answer, ANSWER).split("\n"))
    if result.cause is not None:
        yield f"Why: {said.cause.words}"
    for title, entries in (("Done", result.done), ("Not done", result.not_done), ("Unknown", result.unknown)):
        if entries:
            yield f"{title}:"
            yield from (f"  - {_entry(entry)}" for entry in entries[:ENTRIES])
            if len(entries) > ENTRIES:
                yield f"  - {len(entries) - ENTRIES} more"
    yield f"What you can do: {said.cause.next_step}"
    if result.outcome not in {"success", "partial"} and any(_lasts(entry) for entry in result.done):
        yield _STAYS
    yield f"Task: {plain(result.request_id, 200, lines=False)}"


def _lasts(entry: Mapping[str, Any]) -> bool:
    return entry.get("effect_class") != "pure" and "compensated_by" not in entry and "compensates" not in entry


def _entry(entry: Mapping[str, Any]) -> str:
    if "goal" in entry:
        return plain(str(entry["goal"]), 500, lines=False)
    undone = " (undone)" if "compensated_by" in entry else ""
    return plain(f"{entry.get('tool')} [{entry.get('key')}]{undone}", 300, lines=False)


def plain(text: str, most: int, *, lines: bool = True) -> str:
    """Return text with every character visible: others are written as `\\x1b`, `\\u202e`; lines end where asked for."""
    kept = text.replace("\r\n", "\n").replace("\t", "    ").strip() if lines else text
    kept = kept if len(kept) <= most else kept[: most - len(MORE)] + MORE
    ends = {"\n"} if lines else set()
    return "".join(c if c.isprintable() or c in ends else c.encode("unicode_escape").decode("ascii") for c in kept)
