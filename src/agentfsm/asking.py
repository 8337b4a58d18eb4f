"""Asking a person: for an approval, for the answer of a tool that cannot give it, for what became of an effect.

What is asked for stands in `Task.asked`; the answer is an event that names its `id`. Pure data and checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentfsm.contracts import ToolContract
from agentfsm.records import Inbound, Task


class _Payload(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)

    id: str = Field(min_length=1)
    by: str = Field(min_length=1)


class Approval(_Payload):
    """Payload of `approval.granted` and `approval.refused`: the `id` that was asked for, and who decided."""

    reason: str = ""


class Answer(_Payload):
    """Payload of `person.answered`: the answer, as the tool's contract has it."""

    output: dict[str, Any]


class Happened(_Payload):
    """Payload of `effect.confirmed` (with the tool's answer) and `effect.denied`."""

    output: dict[str, Any] | None = None


@dataclass(frozen=True)
class Ask:
    """One kind of question: its cause in results, from whom the answer comes, and as what."""

    cause: str
    source: str
    kinds: frozenset[str]
    payload: type[_Payload]


GRANTED, REFUSED = "approval.granted", "approval.refused"
ANSWERED = "person.answered"
CONFIRMED, DENIED = "effect.confirmed", "effect.denied"

ASKS: Mapping[str, Ask] = {
    "approval": Ask("needs_approval", "approver", frozenset({GRANTED, REFUSED}), Approval),
    "person": Ask("needs_person", "person", frozenset({ANSWERED}), Answer),
    "doubt": Ask("effect_unknown", "operator", frozenset({CONFIRMED, DENIED}), Happened),
}


def asks_for(source: str, kind: str) -> bool:
    """Whether such an event is the answer to a question of ours."""
    return any(ask.source == source and kind in ask.kinds for ask in ASKS.values())


def payload_of(task: Task, event: Inbound) -> dict[str, Any] | None:
    """Return the checked payload of an answer, or None where it does not fit what is asked."""
    ask = ASKS.get(task.asked["kind"]) if task.asked else None
    if ask is None or ask.source != event.source or event.kind not in ask.kinds:
        return None
    try:
        return ask.payload.model_validate(event.payload).model_dump(mode="json")
    except ValidationError:
        return None


def refusal(task: Task, event: Inbound) -> str | None:
    """Return None where the event answers what the task asks, else why not."""
    ask = ASKS.get(task.asked["kind"]) if task.asked else None
    if ask is None or task.asked is None or ask.source != event.source or event.kind not in ask.kinds:
        return "not_asked"
    payload = payload_of(task, event)
    if payload is None:
        return "invalid_payload"
    return None if payload["id"] == task.asked["id"] else "other_question"


def describe(contracts: Iterable[ToolContract], approval_s: float) -> list[dict[str, Any]]:
    """Return the wait for an approval as plain data, where any contract asks for one."""
    tools = sorted(contract.name for contract in contracts if contract.approval or contract.destructive)
    ask = ASKS["approval"]
    wait = {"cause": ask.cause, "source": ask.source, "kinds": sorted(ask.kinds), "timeout_s": approval_s}
    return [{**wait, "tools": tools, "payload": ask.payload.model_json_schema()}] if tools else []
