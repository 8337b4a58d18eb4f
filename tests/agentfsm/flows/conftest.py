"""A laboratory for the flows of the runtime: tools that keep a ledger, a model that says its turns, death anywhere."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from agentfsm import CallableTool, Effect, Limits, Runtime, Stage, TaskResult, ToolContract, Turn, Workflow
from agentfsm.turns import ModelRequest, ToolCall


class Number(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int = 0


class Value(BaseModel):
    value: int


class Model:
    """Says its turns in order, by how many the conversation has; `first` come before all else, once each."""

    def __init__(self, *turns: Turn, name: str = "script") -> None:
        self.turns, self.name = list(turns), name
        self.first: list[Turn | Exception] = []
        self.requests: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> Turn:
        self.requests.append(request)
        if self.first:
            given = self.first.pop(0)
            if isinstance(given, Exception):
                raise given
            return given
        return self.turns[sum(m.role == "assistant" for m in request.messages)]

    def told(self) -> list[str]:
        """What the last request says after the user's own text."""
        return [m.text for m in self.requests[-1].messages[2:] if m.role in {"tool", "user"}]


class Tool:
    """A tool that counts its effects by key. `script` holds what happens at its next calls.

    None: it works. A mapping: its answer, nothing has happened. An exception: raised after the effect. A function:
    awaited with the arguments first, what it returns is taken for the entry.
    """

    def __init__(self, contract: ToolContract, *, dedupes: bool) -> None:
        self.contract, self._dedupes = contract, dedupes
        self.script: list[Any] = []
        self.calls: list[tuple[int, str]] = []
        self.effects: list[str] = []
        self.asked: list[str] = []

    async def __call__(self, n: int = 0, idempotency_key: str = "", **_more: Any) -> Any:
        self.calls.append((n, idempotency_key))
        happens = self.script.pop(0) if self.script else None
        if callable(happens):
            happens = await happens(n)
        if isinstance(happens, Mapping):
            return happens
        if not (self._dedupes and idempotency_key in self.effects):
            self.effects.append(idempotency_key)
        if isinstance(happens, BaseException):
            raise happens
        return {"value": n}

    async def query(self, idempotency_key: str) -> Any:
        self.asked.append(idempotency_key)
        return {"value": 0} if idempotency_key in self.effects else None

    def port(self) -> CallableTool:
        asks = self.contract.effect is Effect.QUERYABLE
        return CallableTool(self.contract, self.__call__, self.query if asks else None)


class Lab:
    """One database, its tools, its workflow; every `run` may be the life of another process."""

    def __init__(self, world: Any) -> None:
        self.world, self.clock = world, world.clock
        self.tools: dict[str, Tool] = {}
        self.model: Any = Model()
        self.limits = Limits()
        self.options: dict[str, Any] = {}
        self.observed = world.observed
        self.workflow: Workflow | None = None

    @property
    def store(self) -> Any:
        return self.world.store

    def tool(self, name: str, effect: Effect = Effect.PURE, **contract: Any) -> Tool:
        contract = {"input": Number, "output": Value, "version": 1, **contract}
        effects = () if effect is Effect.PURE else (name,)
        made = Tool(ToolContract(name=name, effect=effect, effects=effects, **contract), dedupes=effect != "unsafe")
        self.tools[name] = made
        return made

    def flow(self, *stages: Stage, **options: Any) -> Workflow:
        """A workflow over all tools there are; each answer is kept in the business state under its tool's name."""
        options = {
            "name": "flow",
            "version": 1,
            "instructions": "Work.",
            "goal": "everything is done",
            "contracts": tuple(tool.contract for tool in self.tools.values()),
            "begin": lambda _text: {},
            "fold": keep,
            "done_when": lambda business: all(stage.left_when(business) for stage in stages),
            **options,
        }
        self.workflow = Workflow(stages=stages, **options)
        return self.workflow

    def runtime(self, **options: Any) -> Runtime:
        given = {
            "workflow": self.workflow,
            "model": self.model,
            "tools": {name: tool.port() for name, tool in self.tools.items()},
            "store": self.store,
            "clock": self.clock,
            "limits": self.limits,
            "observer": self.observed.append,
            **self.options,
            **options,
        }
        return Runtime(**given)

    def play(self, act: Callable[[Runtime], Any], **options: Any) -> Any:
        async def main() -> Any:
            return await act(self.runtime(**options))

        return asyncio.run(main())

    def run(self, request_id: str = "r1", text: str = "go", **options: Any) -> TaskResult:
        return self.play(lambda runtime: runtime.run(request_id=request_id, text=text), **options)

    def deliver(self, source: str, kind: str, payload: Any = None, event_id: str = "e1", **options: Any) -> TaskResult:
        return self.play(
            lambda runtime: runtime.deliver(
                request_id=options.pop("request_id", "r1"),
                source=source,
                event_id=event_id,
                kind=kind,
                payload=payload,
            )
        )

    def task(self, request_id: str = "r1") -> Any:
        return asyncio.run(self.store.load(request_id))

    def audit(self, request_id: str = "r1") -> list[dict[str, Any]]:
        return asyncio.run(self.store.audit(request_id))

    def notes(self, kind: str, request_id: str = "r1") -> list[dict[str, Any]]:
        """The audit rows of one kind, without when and at which version."""
        rows = [row for row in self.audit(request_id) if row["kind"] == kind]
        return [{k: v for k, v in row.items() if k not in {"kind", "version", "at"}} for row in rows]

    def steps(self, request_id: str = "r1") -> list[tuple[Any, ...]]:
        return self.world.steps(request_id)

    def control(self, key: str, value: Any) -> None:
        """Set a control as another process would, over a store of its own."""

        async def main() -> None:
            store = type(self.store.inner)(self.world.path)
            await store.set_control(key, value, self.clock.time())
            await store.close()

        asyncio.run(main())

    def gapless(self, request_id: str = "r1") -> bool:
        """Whether every version up to the last one has an audit row."""
        versions = {row["version"] for row in self.audit(request_id)}
        return versions == set(range(1, self.task(request_id).version + 1))


def keep(business: Mapping[str, Any], tool: str, _arguments: Any, output: Any) -> dict[str, Any]:
    """Sum up what a tool answered, and count its answers."""
    count = business.get(tool, 0) + 1
    return {**business, tool: count, f"{tool}.sum": business.get(f"{tool}.sum", 0) + output["value"]}


def has(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda business: all(business.get(name) for name in names)


def calling(*calls: tuple[str, Any], ids: tuple[str, ...] = ()) -> Turn:
    names = ids or tuple(f"c{i}.{tool}.{json.dumps(n)}" for i, (tool, n) in enumerate(calls))
    made = [
        ToolCall(id=name, name=tool, arguments=n if isinstance(n, str) else json.dumps({"n": n}))
        for name, (tool, n) in zip(names, calls, strict=True)
    ]
    return Turn(calls=tuple(made), finish="tool_calls")


class Kit:
    """What the tests of this folder are written with."""

    Model, Tool, Number, Value = Model, Tool, Number, Value
    has, calling, keep = staticmethod(has), staticmethod(calling), staticmethod(keep)

    def says(self, text: str) -> Turn:
        return Turn(text=text)

    def own(self, name: str, *calls: tuple[str, int], done: Any = None, **more: Any) -> Stage:
        """A stage that makes these calls by itself until each of its tools has answered."""
        tools = [tool for tool, _ in calls]
        left = done or has(*tools)
        wanted = [(tool, {"n": n}) for tool, n in calls]
        return Stage(name, frozenset(tools), left, calls=lambda b: [c for c in wanted if not b.get(c[0])], **more)

    def asks(self, name: str, *tools: str, done: Any = None, **more: Any) -> Stage:
        """A stage in which the model proposes."""
        return Stage(name, frozenset(tools), done or has(*tools), **more)


@pytest.fixture
def kit() -> Kit:
    return Kit()


@pytest.fixture
def lab(world: Any) -> Lab:
    return Lab(world)


@pytest.fixture
def deaths(tmp_path: Path, world: Any, killed: type[BaseException]) -> Callable[..., Iterator[tuple[Lab, Any]]]:
    """Give a lab and its result for every commit at which the process can die, before it and after it.

    `set_up` furnishes a fresh lab, `play` is one life; it is called again after the death until it survives.
    """

    def sweep(set_up: Callable[[Lab], None], play: Callable[[Lab], Any]) -> Iterator[tuple[Lab, Any]]:
        for side in ("before", "after"):
            number, died = 0, True
            while died:
                number += 1
                folder = tmp_path / f"{side}-{number}"
                folder.mkdir()
                other = type(world)(folder)
                lab = Lab(other)
                set_up(lab)
                other.restart(die=(number, side))
                try:
                    result, died = play(lab), False
                except killed:
                    other.restart()
                    result = play(lab)
                assert lab.gapless()
                yield lab, result
                asyncio.run(other.store.close())
            assert number > 2

    return sweep
