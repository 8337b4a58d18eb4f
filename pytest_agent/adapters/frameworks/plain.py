"""The tools of a sandbox as plain functions, from which every framework makes its own kind of tool."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_agent.errors import UsageError, did_you_mean
from pytest_agent.sandbox import Sandbox
from pytest_agent.sandbox.contract import KEY

Key = Callable[[str, Mapping[str, Any]], str]
"""Gives the idempotency key of a call, from the name of its tool and its arguments."""


@dataclass(frozen=True, slots=True)
class PlainTool:
    """One tool: a name that every wire takes, what it does in words, and the function, sync or async."""

    name: str
    description: str
    function: Callable[..., Any]

    @property
    def is_async(self) -> bool:
        """Whether its reply is awaited."""
        return inspect.iscoroutinefunction(self.function)


def plain_tools(sandbox: Sandbox, names: tuple[str, ...], key: Key | None) -> list[PlainTool]:
    """The tools of these names, all where none is given, in their order. Raises UsageError for a name that is none."""
    for name in names:
        if name not in sandbox.tools:
            raise UsageError(f"the sandbox has no tool {name!r}.{did_you_mean(name, sandbox.tools)}")
    return [_plain(name, sandbox.tools[name], key) for name in names or sandbox.tools]


def _plain(name: str, tool: Callable[..., Any], key: Key | None) -> PlainTool:
    signature = inspect.signature(tool)
    # A key is no argument that a model gives.
    shown = signature.replace(parameters=[each for each in signature.parameters.values() if each.name != KEY])

    def given(args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        arguments = shown.bind(*args, **named).arguments
        return arguments if key is None else {**arguments, KEY: key(name, arguments)}

    if inspect.iscoroutinefunction(tool):

        @functools.wraps(tool)
        async def function(*args: Any, **named: Any) -> Any:
            return await tool(**given(args, named))

    else:

        @functools.wraps(tool)
        def function(*args: Any, **named: Any) -> Any:
            return tool(**given(args, named))

    wire = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    function.__name__ = function.__qualname__ = wire
    function.__signature__ = shown  # type: ignore[attr-defined]
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if name != KEY}
    return PlainTool(wire, inspect.getdoc(tool) or f"{name}.", function)
