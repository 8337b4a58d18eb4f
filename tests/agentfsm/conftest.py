"""A small world for the runtime: a scripted provider, tools with a ledger, a store on disk, a clock that jumps."""

import asyncio
import importlib.util
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import BaseModel, ConfigDict

from agentfsm import (
    CallableTool,
    Commit,
    Effect,
    Limits,
    OpenAIChat,
    Runtime,
    SQLiteStore,
    Stage,
    TaskResult,
    ToolContract,
    Workflow,
)
from agentfsm.agents import support_refund
from agentfsm.store import migrate

TEXT = "refund order 7"


class Killed(BaseException):
    """The process is gone."""


class Wire:
    """Writes replies as the provider would."""

    EVENTS = {"content-type": "text/event-stream"}  # noqa: RUF012

    def chunk(self, finish: str | None = None, **delta: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    def call_chunk(self, name: str, arguments: Any, call_id: str, index: int = 0) -> dict[str, Any]:
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        function = {"name": name, "arguments": raw}
        return self.chunk(tool_calls=[{"index": index, "id": call_id, "type": "function", "function": function}])

    def stream(self, *chunks: Any, done: bool = True) -> httpx.Response:
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        return httpx.Response(200, headers=self.EVENTS, text=body + ("data: [DONE]\n\n" if done else ""))

    def says(self, text: str) -> httpx.Response:
        return self.stream(self.chunk(content=text), self.chunk("stop"))

    def calls(self, *calls: tuple[str, Any], ids: tuple[str, ...] = ()) -> httpx.Response:
        names = ids or tuple(f"c{i}-{name}" for i, (name, _) in enumerate(calls))
        chunks = [self.call_chunk(name, args, names[i], i) for i, (name, args) in enumerate(calls)]
        return self.stream(*chunks, self.chunk("tool_calls"))

    def lookup(self, order: Any = 7) -> httpx.Response:
        return self.calls(("orders_lookup", {"order": order}))

    def refund(self, amount: Any = 20, order: Any = 7) -> httpx.Response:
        return self.calls(("payments_refund", {"order": order, "amount": amount}))

    def error(self, status: int, code: str = "", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Response(status, headers=named, json={"error": {"code": code, "type": code, "message": "no"}})


class JumpClock:
    """Sleeping moves it on and takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.pauses.append(delay_s)
        self.now += delay_s


class WatchedStore:
    """Delegates to a store, keeps the labels, and dies `before` or `after` the commit of that number."""

    def __init__(self, inner: SQLiteStore, die: tuple[int, str] | None = None) -> None:
        self.inner, self.die, self.commits = inner, die, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def commit(self, change: Commit) -> int:
        self.commits.append(change)
        number = len(self.commits)
        if self.die == (number, "before"):
            raise Killed
        version = await self.inner.commit(change)
        if self.die == (number, "after"):
            raise Killed
        return version


class World:
    """What one test sets up, breaks, and looks at afterwards."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent.db"
        self.wire = Wire()
        self.clock = JumpClock()
        self.script = [self.wire.lookup(), self.wire.refund(), self.wire.says("Refunded.")]
        self.first: list[httpx.Response | Exception] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.order = {"order": 7, "amount": 20, "currency": "EUR", "refundable": True}
        self.lookups: list[int] = []
        self.refund_calls: list[tuple[int, int, str]] = []
        self.ledger: dict[str, int] = {}
        self.tools: dict[str, Callable[..., Any]] = {
            "orders.lookup": self.look_up,
            "payments.refund": self.pay_back,
        }
        self.limits = Limits()
        self.observed: list[dict[str, Any]] = []
        self.store = WatchedStore(SQLiteStore(self.path))

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.requests.append(body)
        self.keys.append(request.headers["idempotency-key"])
        if self.first:
            reply = self.first.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply
        turn = self.script[sum(m["role"] == "assistant" for m in body["messages"])]
        return httpx.Response(turn.status_code, headers=turn.headers, content=turn.content)

    def look_up(self, order: int) -> dict[str, Any]:
        self.lookups.append(order)
        return self.order

    async def pay_back(self, order: int, amount: int, idempotency_key: str) -> dict[str, Any]:
        self.refund_calls.append((order, amount, idempotency_key))
        self.ledger.setdefault(idempotency_key, amount)
        return {"status": "success", "refund_id": f"R-{idempotency_key}"}

    def breaks(self, tool: str, *failures: Any, after_effect: bool = False) -> None:
        """Let the first calls of a tool fail: an exception is raised, anything else is the answer."""
        real, left = self.tools[tool], list(failures)

        async def broken(**arguments: Any) -> Any:
            failure = left.pop(0) if left else None
            if failure is None or after_effect:
                given = real(**arguments)
                given = await given if asyncio.iscoroutine(given) else given
            if isinstance(failure, BaseException):
                raise failure
            return given if failure is None else failure

        self.tools[tool] = broken

    def runtime(self, model: OpenAIChat) -> Runtime:
        return support_refund.build(
            store=self.store,
            model=model,
            tools=self.tools,
            limits=self.limits,
            clock=self.clock,
            observer=self.observed.append,
        )

    def run(self, text: str = TEXT, request_id: str = "r1", **model: Any) -> TaskResult:
        return self.play(lambda runtime: runtime.run(request_id=request_id, text=text), **model)

    def play(self, act: Callable[[Runtime], Any], build: Callable[..., Runtime] | None = None, **model: Any) -> Any:
        async def main() -> Any:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self.answer)) as client:
                chat = OpenAIChat(client, model="m", base_url="http://model.test/v1", **model)
                return await act((build or self.runtime)(chat))

        return asyncio.run(main())

    def restart(self, die: tuple[int, str] | None = None) -> None:
        """A new process over the same file."""
        self.store = WatchedStore(SQLiteStore(self.path), die)

    def steps(self, request_id: str = "r1") -> list[tuple[Any, ...]]:
        found = asyncio.run(self.store.steps(request_id))
        return [(s.step_id, s.attempt, s.tool or s.kind, s.status, s.error_code) for s in found]

    def told(self) -> list[str]:
        """What the model was last told, after the user's request."""
        return [m["content"] for m in self.requests[-1]["messages"][2:] if m["role"] in {"tool", "user"}]


class PayInput(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: int = 1


class PayOutput(BaseModel):
    receipt: str


class Payer:
    """One tool of a chosen effect class, behind the smallest workflow there is."""

    def __init__(self, world: World, effect: Effect, *, query: bool = False) -> None:
        self.world, self.paid, self.asked = world, [], []
        self.replies: list[Any] = []
        contract = ToolContract(
            name="pay",
            version=1,
            input=PayInput,
            output=PayOutput,
            effect=effect,
            effects=() if effect is Effect.PURE else ("payment",),
        )
        self.tool = CallableTool(contract, self.pay, self.ask if query else None)
        self.workflow = Workflow(
            name="payer",
            version=1,
            instructions="Pay.",
            goal="it is paid",
            contracts=(contract,),
            stages=(Stage("PAY", frozenset({"pay"}), lambda _: False),),
            begin=lambda _text: {},
            fold=lambda business, _tool, _args, output: {**business, "receipt": output["receipt"]},
            done_when=lambda business: "receipt" in business,
        )
        world.script = [world.wire.calls(("pay", "")), world.wire.says("Paid.")]

    async def pay(self, amount: int, idempotency_key: str = "") -> Any:
        reply = self.replies.pop(0) if self.replies else None
        if reply != "refuse":
            self.paid.append(idempotency_key)
        if isinstance(reply, BaseException):
            raise reply
        return {"status": "temporary_error"} if reply == "refuse" else {"receipt": "P1"}

    async def ask(self, idempotency_key: str) -> Any:
        self.asked.append(idempotency_key)
        return {"receipt": "P1"} if idempotency_key in self.paid else None

    def build(self, model: OpenAIChat) -> Runtime:
        world = self.world
        return Runtime(
            workflow=self.workflow,
            model=model,
            tools={"pay": self.tool},
            store=world.store,
            clock=world.clock,
            limits=world.limits,
        )

    def run(self) -> TaskResult:
        return self.world.play(lambda runtime: runtime.run(request_id="r1", text="pay"), self.build)


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    asyncio.run(made.store.close())


@pytest.fixture
def wire(world: World) -> Wire:
    return world.wire


@pytest.fixture
def payer(world: World) -> Callable[..., Payer]:
    return lambda effect, **options: Payer(world, effect, **options)


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed


class Postgres:
    """A server of this process's own, and databases on it that `agentfsm migrate` has made ready."""

    def __init__(self, programs: Any, folder: Path, address: str) -> None:
        self._programs, self._folder, self.address = programs, folder, address
        self._ready = self._named("ready")
        self._make(self._ready, "")
        asyncio.run(migrate(self._ready))

    def empty(self, how: str = "") -> str:
        """Return the URL of a new database without any tables; `how` ends the statement that makes it."""
        url = self._named(f"t{uuid.uuid4().hex[:12]}")
        self._make(url, how)
        return url

    def fresh(self) -> str:
        """Return the URL of a new database that is ready for a store."""
        url = self._named(f"t{uuid.uuid4().hex[:12]}")
        self._make(url, " TEMPLATE ready")
        return url

    def crash(self) -> None:
        """Let the server die as it stands and come up again; every connection is lost."""
        self._programs.control(self._folder, os.environ, "-w", "-m", "immediate", "restart")

    def _named(self, name: str) -> str:
        return f"{self.address.rpartition('/')[0]}/{name}"

    def _make(self, url: str, how: str) -> None:
        async def make() -> None:
            database = await asyncpg.connect(self.address)
            await database.execute(f"CREATE DATABASE {url.rpartition('/')[2]}{how}")
            await database.close()

        asyncio.run(make())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the tests of this process. Skips where none is installed; in CI that is a failure."""
    file = Path(__file__).parents[2] / "benchmarks" / "durable" / "server.py"
    spec = importlib.util.spec_from_file_location("postgres_server", file)
    programs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(programs)
    try:
        programs.program("initdb")
    except SystemExit as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    # Not below pytest's own folder, which nobody but its owner may enter; and where a flush is real and costs little.
    folder = Path(tempfile.mkdtemp(prefix="agentfsm-pg-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        with programs.server(folder, os.environ) as address:
            yield Postgres(programs, folder, address)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of a fresh database, ready for a store."""
    return postgres.fresh()
