"""Delegating: a tool that is a task of another runtime. Its key is the id of the task below, so it begins once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from agentfsm.contracts import Effect, ToolContract
from agentfsm.errors import Conflict, DefinitionError
from agentfsm.states import TERMINAL

if TYPE_CHECKING:
    from agentfsm.runtime import Runtime

DEPTH: ContextVar[int] = ContextVar("agentfsm_depth", default=0)
"""The depth of the task on whose behalf a tool is being called."""


class DelegatedTask:
    """A tool whose answer is the outcome of a task below: `{"outcome", "answer", "cause"}`.

    `text` makes the request of that task from the arguments. The contract has to be idempotent: the runtime below
    resumes what it finds under the key. The limit `depth` of the runtime below bounds how deep this goes. As long as
    nobody can say how the task below will end (it waits, another worker has it, its outcome is `unknown`), the effect
    of this step is in doubt. A timeout of the call, or a cancellation, cancels the task below.
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
        try:
            result = await self._runtime.run(request_id=key, text=self._text(arguments), depth=DEPTH.get() + 1)
        except Conflict as error:
            raise TimeoutError(f"another worker has task {key!r}") from error
        if result.state not in TERMINAL or result.outcome == "unknown":
            raise TimeoutError(f"task {key!r} is {result.outcome}: {result.cause}")
        if result.outcome in {"success", "partial"}:
            return {"outcome": result.outcome, "answer": result.answer, "cause": result.cause}
        code = result.cause or result.outcome
        return {"status": "permanent_error", "error_code": code, "reason": result.answer or code}

    async def query(self, key: str) -> object:
        """Never called."""
        raise AssertionError(key)
