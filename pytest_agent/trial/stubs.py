"""Stand-ins for the tools of an agent, made of what it tells the model about them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pytest_agent.llm.from_schema import value_for
from pytest_agent.llm.wire import wire_name
from pytest_agent.sandbox import Sandbox

READING = frozenset({"get", "list", "search", "lookup", "read", "find"})
"""The words by which a tool says that it changes nothing; any other is taken for one that does."""

_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}
_OUTPUTS = ("response", "responseJsonSchema", "output_schema", "outputSchema")


@dataclass(slots=True)
class Memory:
    """What the clean run has shown of the agent's tools; the runs under faults go by it.

    `known` are those it has used, and whether each changes the world; `awaited` are those whose reply it awaits.
    """

    known: dict[str, bool] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)


class StubTools(Mapping[str, Callable[..., Any]]):
    """The tools of one run, by name or as attributes: `tools["refund"](order=7)`, `tools.refund(order=7)`.

    Each is a tool of the sandbox, made when it is first called: its arguments are checked against the schema that the
    agent declared, and its reply is made of the schema of its output, or repeats the arguments. In the clean run every
    name is a tool; under faults those that the agent declares or has used then.
    """

    def __init__(self, sandbox: Sandbox, memory: Memory, *, clean: bool, seed: int) -> None:
        self._sandbox = sandbox
        self._memory = memory
        self._clean = clean
        self._seed = seed
        self._declared: dict[str, Mapping[str, Any]] = {}
        self._outputs: dict[str, Mapping[str, Any]] = {}

    def learn(self, schemas: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """What a request declares: the schema of each tool's arguments, and of what it returns where that is said."""
        self._declared.update(schemas)
        self._outputs.update(outputs)

    def __getitem__(self, name: str) -> Callable[..., Any]:
        found = wire_name(name, tuple(self._declared))
        if not (self._clean or found in self._declared or found in self._memory.known):
            raise KeyError(name)

        def stub(*args: Any, **named: Any) -> Any:
            reply = self._tool(found)(*args, **named)
            return _Reply(reply, lambda: self._memory.awaited.add(found)) if self._clean else reply

        stub.__name__ = stub.__qualname__ = re.sub(r"\W", "_", name)
        return stub

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the agent has no tool {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)

    def _tool(self, name: str) -> Callable[..., Any]:
        if name not in self._sandbox.tools:
            changes = not reads(name)
            if self._clean:
                self._memory.known[name] = changes
            function = _function(name, self._declared.get(name, {}), self._reply(name))
            if name in self._memory.awaited and not self._clean:
                function = _asynchronous(function)
            self._sandbox.tool(name, effect=changes, idempotent=True)(function)
        return self._sandbox.tools[name]

    def _reply(self, name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        schema = self._outputs.get(name)
        made = value_for(schema, f"{self._seed}:{name}:reply") if schema else None
        if schema:
            return lambda _: made if isinstance(made, dict) else {"result": made}
        return lambda arguments: {**arguments, "status": "ok"}


def reads(name: str) -> bool:
    """Whether a tool's name begins or ends with a word that says it changes nothing: `orders.lookup`, `getOrder`."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    return bool(words) and not READING.isdisjoint((words[0], words[-1]))


def output_schemas(data: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of what each tool returns, where a request says one."""
    found: dict[str, Any] = {}
    tools = data.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        functions = tool.get("functionDeclarations", [tool.get("function") or tool]) if isinstance(tool, dict) else []
        for function in functions if isinstance(functions, list) else ():
            if isinstance(function, dict):
                schema = next((function[name] for name in _OUTPUTS if isinstance(function.get(name), dict)), None)
                if schema is not None:
                    found[str(function.get("name"))] = schema
    return found


def _function(name: str, schema: Any, reply: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., Any]:
    def stub(**arguments: Any) -> dict[str, Any]:
        return reply({key: value for key, value in arguments.items() if value is not None})

    stub.__name__ = stub.__qualname__ = re.sub(r"\W", "_", name)
    stub.__signature__ = _signature(schema)  # type: ignore[attr-defined]
    return stub


def _asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    async def stub(**arguments: Any) -> Any:
        return function(**arguments)

    stub.__name__, stub.__qualname__ = function.__name__, function.__qualname__
    stub.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return stub


def _signature(schema: Any) -> inspect.Signature:
    """The parameters that a schema of an object says; anything at all where it says none that Python could have."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    anything = inspect.Parameter("anything", inspect.Parameter.VAR_KEYWORD)
    if not isinstance(properties, Mapping) or not properties:
        return inspect.Signature([anything])
    needed = schema.get("required", ())
    try:
        made = [_parameter(name, said, needed=name in needed) for name, said in properties.items()]
    except ValueError:  # a name that no parameter can have
        return inspect.Signature([anything])
    made.sort(key=lambda parameter: parameter.kind)
    return inspect.Signature([*made, anything] if schema.get("additionalProperties") else made)


def _parameter(name: str, schema: Any, *, needed: bool) -> inspect.Parameter:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    hint: Any = _TYPES.get(kind.lower(), Any) if isinstance(kind, str) else Any
    if needed:
        return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=hint)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


class _Reply(dict[str, Any], Coroutine[Any, Any, Any]):
    """The reply of a tool in the clean run, before it is known whether the agent awaits it: it can do both."""

    def __init__(self, reply: dict[str, Any], awaited: Callable[[], object]) -> None:
        super().__init__(reply)
        self._awaited = awaited

    def __hash__(self) -> int:  # type: ignore[override]  # `asyncio.gather` wants one of what it awaits
        return id(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        self._awaited()
        return dict(self)
        yield  # which makes it a generator

    def send(self, value: Any, /) -> NoReturn:
        """As a task does it."""
        del value
        self._awaited()
        raise StopIteration(dict(self))

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> NoReturn:
        """As a task that is cancelled does it."""
        del trace
        raise kind if value is None else value

    def close(self) -> None:
        """Nothing was begun."""
