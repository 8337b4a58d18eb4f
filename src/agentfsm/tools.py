"""A plain function, sync or async, as a tool."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
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
        self._function = _awaitable(function)
        self._query = None if query is None else _awaitable(query)

    @property
    def can_query(self) -> bool:
        """Whether a query function was given."""
        return self._query is not None

    async def call(self, arguments: Mapping[str, Any], key: str) -> object:
        """Run the function."""
        extra = {} if self.contract.effect is Effect.PURE else {"idempotency_key": key}
        return await self._function(**arguments, **extra)

    async def query(self, key: str) -> object:
        """Ask what became of the key."""
        return None if self._query is None else await self._query(idempotency_key=key)


def callable_tools(
    contracts: Iterable[ToolContract], functions: Mapping[str, Callable[..., Any]]
) -> dict[str, CallableTool]:
    """Return as tools the functions that a contract has the name of; what else is there is left out.

    Where there is a function `NAME.query`, it is asked what became of a key of the tool `NAME`.
    """
    return {
        contract.name: CallableTool(contract, functions[contract.name], functions.get(f"{contract.name}.query"))
        for contract in contracts
        if contract.name in functions
    }


def _awaitable(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return function

    def guarded(**arguments: Any) -> Any:
        try:
            return function(**arguments)
        except StopIteration as error:  # a future cannot hold it, the caller would wait for ever
            raise RuntimeError("the tool raised StopIteration") from error

    async def in_thread(**arguments: Any) -> Any:
        result = await asyncio.to_thread(guarded, **arguments)
        return await result if inspect.isawaitable(result) else result

    return in_thread
