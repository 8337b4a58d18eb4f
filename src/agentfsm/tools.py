"""A plain function, sync or async, as a tool."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from agentfsm.contracts import Effect, ToolContract


class CallableTool:
    """Calls `function` with keyword arguments, and `query(idempotency_key=...)` where one is given.

    A function without an effect gets no key. A sync function runs in a thread, which cannot be stopped: after
    a timeout it may still be running, which is why its effect is then in doubt.
    """

    def __init__(
        self, contract: ToolContract, function: Callable[..., Any], query: Callable[..., Any] | None = None
    ) -> None:
        self.contract = contract
        self._function = function
        self._query = query

    @property
    def can_query(self) -> bool:
        """Whether a query function was given."""
        return self._query is not None

    async def call(self, arguments: Mapping[str, Any], key: str) -> object:
        """Run the function."""
        extra = {} if self.contract.effect is Effect.PURE else {"idempotency_key": key}
        return await _invoke(self._function, {**arguments, **extra})

    async def query(self, key: str) -> object:
        """Ask what became of the key."""
        return None if self._query is None else await _invoke(self._query, {"idempotency_key": key})


async def _invoke(function: Callable[..., Any], arguments: Mapping[str, Any]) -> object:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return await function(**arguments)

    def guarded() -> Any:
        try:
            return function(**arguments)
        except StopIteration as error:  # a future cannot hold it, the caller would wait for ever
            raise RuntimeError("the tool raised StopIteration") from error

    result = await asyncio.to_thread(guarded)
    return await result if inspect.isawaitable(result) else result
