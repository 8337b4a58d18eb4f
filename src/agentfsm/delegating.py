"""Delegating: a tool that is a task of another runtime. Its key is the id of the task below, so it begins once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from agentfsm.contracts import Effect, ToolContract
from agentfsm.errors import DefinitionError

if TYPE_CHECKING:
    from agentfsm.runtime import Runtime

DEPTH: ContextVar[int] = ContextVar("agentfsm_depth", default=0)
"""The depth of the task on whose behalf a tool is being called."""


class DelegatedTask:
    """A tool whose answer is the outcome of a task below: `{"outcome", "answer", "cause"}`.

    `text` makes the request of that task from the arguments. The contract has to be idempotent: the runtime below
    resumes what it finds under the key. The limit `depth` of the runtime below bounds how deep this goes.
    """

    can_query = False

    def __init__(self, contract: ToolContract, runtime: Runtime, text: Callable[[Mapping[str, Any]], str]) -> None:
        if contract.effect is not Effect.IDEMPOTENT:
            raise DefinitionError(
                f"{contract.name}: handing work down is idempotent by its key; say so in its contract"
            )
        self.contract = contract
        self._runtime = runtime
        self._text = text

    async def call(self, arguments: Mapping[str, Any], key: str) -> object:
        """Run the task below, or resume it."""
        result = await self._runtime.run(request_id=key, text=self._text(arguments), depth=DEPTH.get() + 1)
        if result.outcome in {"success", "partial"}:
            return {"outcome": result.outcome, "answer": result.answer, "cause": result.cause}
        status = "temporary_error" if result.state.value not in {"DONE", "FAILED"} else "permanent_error"
        return {"status": status, "error_code": result.cause or result.outcome, "reason": result.answer}

    async def query(self, key: str) -> object:
        """Never called."""
        raise AssertionError(key)
