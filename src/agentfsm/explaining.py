"""Explaining: whose fault an end is and what is to be said of it, from its cause and the attempt that gave it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from agentfsm.causes import BY_OUTCOME, CAUSES, CHECK, Cause, Fault
from agentfsm.records import Step
from agentfsm.recovery import ErrorClass

_MODEL = frozenset(
    {
        "authentication",
        "bad_request",
        "bad_response",
        "broken_stream",
        "certificate",
        "conflict",
        "content_filter",
        "context_length_exceeded",
        "incomplete_turn",
        "insufficient_quota",
        "model_crashed",
        "model_error",
        "not_found",
        "overloaded",
        "permission",
        "refused",
        "reply_too_large",
        "request_too_large",
        "server_error",
        "silent",
        "unsupported_parameter",
    }
)
"""Codes that mean this only where a model gave them: of a tool or a workflow they are words of its own."""
_TOOL: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        ErrorClass.TRANSIENT: frozenset(
            {
                "breaker_open",
                "connection",
                "interrupted",
                "not_sent",
                "rate_limit",
                "throttled",
                "timeout",
                "undeclared_error_code",
            }
        ),
        ErrorClass.PERMANENT: frozenset({"tool_crashed", "tool_disabled", "undeclared_error_code"}),
        ErrorClass.INVALID_INPUT: frozenset({"undeclared_error_code"}),
    }
)
"""Codes that the runtime itself gives to the attempts at a tool; any other is the tool's own and told by its class."""
_BY_CLASS: Mapping[str, Cause] = MappingProxyType(
    {
        ErrorClass.TRANSIENT: CAUSES["temporary_error"],
        ErrorClass.PERMANENT: CAUSES["permanent_error"],
        ErrorClass.INVALID_INPUT: CAUSES["invalid_input"],
        ErrorClass.CONTRACT_VIOLATION: CAUSES["contract_violation"],
    }
)


@dataclass(frozen=True)
class Explained:
    """An end explained: its cause, whose fault it was, and the attempt that brought it about, if one did."""

    cause: Cause
    fault: Fault
    step: Step | None = None


def explain(code: str | None, outcome: str, steps: Sequence[Step], *, waits: bool = False) -> Explained:
    """Explain the end of a task, or where it `waits`, by its cause and its steps.

    A code that a tool or a workflow made up is told by its error class, or by the outcome.
    """
    if waits and outcome == "partial" and code not in CAUSES:
        code = "waiting"  # for what, the workflow says in the answer
    step = next((s for s in reversed(steps) if s.error_code == code and s.status in {"failed", "in_doubt"}), None)
    by = None if code is None or step is None or step.kind == "refusal" else step
    found = (_by_step(by) if by is not None else _by_code(code)) or BY_OUTCOME.get(outcome, BY_OUTCOME["failed"])
    if outcome == "unknown":  # whatever the cause: the user must not ask again, and somebody has to look
        said = CAUSES["effect_unknown"].words
        words = found.words if said in found.words else f"{found.words} {said}"
        next_step = found.next_step if found.next_step == CHECK else CHECK
        found = Cause(found.fault, words, next_step, incident=True)
    if found.fault != "called":
        return Explained(found, found.fault, step)
    return Explained(found, "provider" if step is not None and step.tool is None else "tool", step)


def _by_step(step: Step) -> Cause | None:
    code, kind = step.error_code or "", step.error_class or ""
    if step.tool is None:
        broken = "model_crashed" if kind == ErrorClass.PERMANENT else "temporary_error"
        return CAUSES.get(code) or CAUSES[broken]
    if code.startswith("http_"):
        return CAUSES["server_error" if kind == ErrorClass.TRANSIENT else "http_error"]
    if code in _TOOL.get(kind, ()) or not kind:
        return CAUSES.get(code)
    return _BY_CLASS.get(kind)


def _by_code(code: str | None) -> Cause | None:
    return None if code is None or code in _MODEL else CAUSES.get(code)
