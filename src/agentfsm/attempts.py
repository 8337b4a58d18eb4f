"""One attempt at one step: call the model or the tool under its deadline, and classify what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from agentfsm import recovery
from agentfsm.budgets import usage_of
from agentfsm.contracts import Status
from agentfsm.errors import ContractViolation, ModelError
from agentfsm.ports import Model, Tool
from agentfsm.prices import Price
from agentfsm.recovery import Deadline, ErrorClass
from agentfsm.turns import ModelRequest, Turn

_STATUS: Mapping[str, ErrorClass] = {
    Status.TEMPORARY_ERROR: ErrorClass.TRANSIENT,
    Status.PERMANENT_ERROR: ErrorClass.PERMANENT,
    Status.INVALID_INPUT: ErrorClass.INVALID_INPUT,
}


class Reply(NamedTuple):
    """What an attempt gave: a `turn`, a checked `output`, or an `error` with its stable `code`.

    `doubt` is True where an effect may have happened although no success was seen.
    """

    turn: Turn | None = None
    output: Mapping[str, Any] | None = None
    error: ErrorClass | None = None
    code: str = ""
    reason: str = ""
    retry_after_s: float | None = None
    doubt: bool = False
    tokens: int = 0
    cost_usd: float = 0.0
    breaker: tuple[str, ...] = ()
    """The states that the breaker of the tool went through because of this reply; none where it is as it was."""


def lost(code: str, reason: str = "nobody heard the end of it") -> Reply:
    """Return the reply of an attempt whose own reply did not come."""
    return Reply(error=ErrorClass.TRANSIENT, code=code, reason=reason, doubt=True)


def not_sent(code: str, *, retry_after_s: float | None = None, reason: str = "nothing was sent") -> Reply:
    """Return the reply of an attempt that was not made: nothing can have happened."""
    return Reply(error=ErrorClass.TRANSIENT, code=code, reason=reason, retry_after_s=retry_after_s)


async def call_model(model: Model, name: str, request: ModelRequest, deadline: Deadline, price: Price) -> Reply:
    """Make one wire attempt. A cost that cannot be told counts nothing here; `Runtime` refuses a limit on it."""

    def unseen() -> dict[str, Any]:  # an attempt that broke off may have been billed
        usage = usage_of(request.messages, None)
        return {"tokens": usage.input_tokens + usage.output_tokens, "cost_usd": price(name, usage) or 0.0}

    try:
        async with asyncio.timeout(deadline.remaining()):
            turn = await model.complete(request)
        usage = usage_of(request.messages, turn)
        tokens = usage.input_tokens + usage.output_tokens
        return Reply(turn=turn, tokens=tokens, cost_usd=price(name, usage) or 0.0)
    except ModelError as error:
        kind = ErrorClass.TRANSIENT if error.transient else ErrorClass.PERMANENT
        billed = error.transient and "status" not in error.fields
        reply = Reply(error=kind, code=error.code, reason=str(error), retry_after_s=error.retry_after_s)
        return reply._replace(**unseen()) if billed else reply
    except recovery.lost() as error:
        code, reason = _lost_code(error), type(error).__name__
        return Reply(error=ErrorClass.TRANSIENT, code=code, reason=reason, **unseen())
    except Exception as error:  # noqa: BLE001 - a model is foreign code; its bug is this step's failure
        return Reply(error=ErrorClass.PERMANENT, code="model_crashed", reason=type(error).__name__)


async def call_tool(
    tool: Tool, arguments: Mapping[str, Any], key: str, deadline: Deadline, *, ask_first: bool
) -> Reply:
    """Call the tool once; with `ask_first`, only where it says that the key never took effect."""
    try:
        async with asyncio.timeout(min(deadline.remaining(), tool.contract.timeout_s)):
            answer = await tool.query(key) if ask_first else None
            if answer is None:
                answer = await tool.call(arguments, key)
    except recovery.not_sent() as error:
        return not_sent("not_sent", reason=type(error).__name__)
    except recovery.lost() as error:
        return lost(_lost_code(error), type(error).__name__)
    except Exception as error:  # noqa: BLE001 - a tool is foreign code; its bug is this step's failure
        return _raised(error)
    return _read(tool, answer)


def _lost_code(error: BaseException) -> str:
    return "timeout" if recovery.silent(error) else "connection"


def _raised(error: Exception) -> Reply:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 429:
        return Reply(error=ErrorClass.TRANSIENT, code="rate_limit", reason=type(error).__name__)
    if isinstance(status, int) and status >= 500:
        return lost(f"http_{status}")
    if isinstance(status, int) and status >= 400:
        return Reply(error=ErrorClass.PERMANENT, code=f"http_{status}", reason=type(error).__name__)
    return Reply(error=ErrorClass.PERMANENT, code="tool_crashed", reason=type(error).__name__, doubt=True)


def _read(tool: Tool, answer: object) -> Reply:
    status = answer.get("status", "success") if isinstance(answer, Mapping) else type(answer).__name__
    kind = _STATUS.get(status) if isinstance(status, str) else None
    if not isinstance(answer, Mapping) or kind is None:
        try:
            return Reply(output=tool.contract.check(answer, status))
        except ContractViolation as error:
            kind = ErrorClass.CONTRACT_VIOLATION
            return Reply(error=kind, code=error.code, reason=str(error), doubt=True)
    code, reason = tool.contract.failure(str(status), answer.get("error_code"), answer.get("reason"))
    return Reply(error=kind, code=code, reason=reason)
