"""The `sandbox` fixture: the author's functions as tools, with a ledger, keys, and faults in between."""

from __future__ import annotations

import asyncio
import functools
import inspect
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_agent.faults.effect import ToolEffect, ToolReply
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.sandbox.book import LogicalToolCall, ToolBook, canonical
from pytest_agent.sandbox.contract import ArgumentContract
from pytest_agent.sandbox.ledger import Ledger
from pytest_agent.trace import EffectCommitted, ToolCalled, ToolReplied, WorldChecked

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Sleep = Callable[[float], None]


class Sandbox:
    """Tools whose effects are on a ledger.

    Hand `sandbox.tools` to the agent; they are called with keyword arguments, and with `idempotency_key=` where the
    agent has one. The ledger tells what happened, whatever the agent says.
    """

    def __init__(self, seams: Seams, ledger: Path, sleep: Sleep, told: Callable[[str, ToolReplied], None]) -> None:
        self._seams = seams
        self._sleep = sleep
        self._told = told
        self._book = ToolBook(seams.trace)
        self._tools: dict[str, Callable[..., Any]] = {}
        self._replies: dict[tuple[str, str], tuple[str, object]] = {}
        self._predicates: list[tuple[str, Callable[[], bool]]] = []
        self._folder: Path | None = None
        self.ledger = Ledger(ledger)

    @property
    def folder(self) -> Path:
        """An empty folder for the files of this run, such as the agent's database; gone when the run is over."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pytest-agent-"))
        return self._folder

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """The tools by name, read-only."""
        return MappingProxyType(self._tools)

    def tool(self, name: str, *, effect: bool = False, idempotent: bool = False) -> Callable[[FunctionT], FunctionT]:
        """Make a function a tool: `@sandbox.tool("payments.refund", effect=True)`.

        `effect`: a call that ends well is a change of the world and goes on the ledger; one that raises or returns
        `{"status": ...}` other than `success` is not. `idempotent`: a second call with the same `idempotency_key`
        returns the first reply and changes nothing; with other arguments it is refused as `invalid_input`.
        Raises ValueError for a name given twice.
        """
        if name in self._tools:
            raise ValueError(f"tool {name!r} is there already; give the second one another name")

        def register(function: FunctionT) -> FunctionT:
            tool = _Tool(self, name, function, effect=effect, idempotent=idempotent)
            self._tools[name] = tool.wrapped()
            return self._tools[name]  # type: ignore[return-value]

        return register

    def must_hold(self, name: str, predicate: Callable[[], bool]) -> None:
        """What the world must be like if the agent claims success; checked when the run is over.

        Without one, a success under faults must have had the effects of the clean run.
        """
        self._predicates.append((name, predicate))

    def finish(self) -> None:
        """Evaluate the predicates, close the ledger and remove the folder."""
        for name, predicate in self._predicates:
            holds = bool(predicate())
            detail = "; ".join(str(entry) for entry in self.ledger) or "the ledger is empty"
            self._seams.trace.append(WorldChecked(name=name, holds=holds, detail=detail))
        self.ledger.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class _Tool:
    """One registered function: records the call, commits the effect, lets the faults act on the reply."""

    def __init__(
        self, sandbox: Sandbox, name: str, function: Callable[..., Any], *, effect: bool, idempotent: bool
    ) -> None:
        self._sandbox = sandbox
        self._seams = sandbox._seams
        self._name = name
        self._function = function
        self._contract = ArgumentContract(function)
        self._effect = effect
        self._idempotent = idempotent

    def wrapped(self) -> Callable[..., Any]:
        """A function of the same kind, sync or async, that takes `idempotency_key` besides."""
        if inspect.iscoroutinefunction(self._function):

            @functools.wraps(self._function)
            async def acall(*, idempotency_key: str | None = None, **arguments: Any) -> Any:
                logical, site = self._begin(arguments, idempotency_key)
                known = self._known(arguments, idempotency_key)
                try:
                    reply = known or ToolReply(await self._function(**arguments))
                except Exception as error:  # noqa: BLE001 - whatever the author's tool raises is its reply
                    reply = ToolReply(error=error)
                reply = self._commit(reply, site, arguments, idempotency_key, known is not None)
                try:
                    if reply.delay_s:
                        await asyncio.sleep(reply.delay_s)
                except asyncio.CancelledError:
                    self._end(ToolReply(error=TimeoutError("the caller stopped waiting"), lost=True), logical, site)
                    raise
                return self._end(reply, logical, site)

            return acall

        @functools.wraps(self._function)
        def call(*, idempotency_key: str | None = None, **arguments: Any) -> Any:
            logical, site = self._begin(arguments, idempotency_key)
            known = self._known(arguments, idempotency_key)
            try:
                reply = known or ToolReply(self._function(**arguments))
            except Exception as error:  # noqa: BLE001 - whatever the author's tool raises is its reply
                reply = ToolReply(error=error)
            reply = self._commit(reply, site, arguments, idempotency_key, known is not None)
            if reply.delay_s:
                self._sandbox._sleep(reply.delay_s)
            return self._end(reply, logical, site)

        return call

    def _begin(self, arguments: dict[str, Any], key: str | None) -> tuple[LogicalToolCall, Site]:
        self._seams.check_alive()
        logical = self._sandbox._book.open(self._name, arguments, key)
        site = Site("tool", self._name, logical.n, logical.attempts)
        problem = self._contract.problem(arguments)
        self._seams.trace.append(
            ToolCalled(
                site=str(site),
                tool=self._name,
                call=site.n,
                attempt=site.attempt,
                arguments=arguments,
                key=key,
                effect=self._effect,
                problem=problem,
            )
        )
        if problem is not None:
            error = TypeError(f"{self._name}: {problem}")
            self._end(ToolReply(error=error), logical, site)
        return logical, site

    def _known(self, arguments: dict[str, Any], key: str | None) -> ToolReply | None:
        """The reply this key has had before, where the tool remembers keys."""
        if not self._idempotent or key is None or (self._name, key) not in self._sandbox._replies:
            return None
        written, value = self._sandbox._replies[self._name, key]
        if written == canonical(arguments):
            return ToolReply(value)
        return ToolReply({"status": "invalid_input", "error_code": "idempotency_key_reused"})

    def _commit(
        self, reply: ToolReply, site: Site, arguments: dict[str, Any], key: str | None, known: bool
    ) -> ToolReply:
        if reply.error is None and not known and _succeeded(reply.value):
            if self._effect:
                entry = self._sandbox.ledger.commit(self._name, arguments, key)
                self._seams.trace.append(
                    EffectCommitted(entry=entry.n, site=str(site), tool=self._name, arguments=entry.arguments, key=key)
                )
            if self._idempotent and key is not None:
                self._sandbox._replies[self._name, key] = (canonical(arguments), reply.value)
        for fault, effect in self._seams.at(site, ToolEffect):
            changed = effect.change_reply(reply)
            if changed is not reply:
                reply = changed
                self._seams.struck(fault, site, _describe(reply))
        return reply

    def _end(self, reply: ToolReply, logical: LogicalToolCall, site: Site) -> Any:
        status = "lost" if reply.lost else "error" if reply.error is not None else "ok"
        logical.answered = status == "ok"
        ended = ToolReplied(
            site=str(site),
            tool=self._name,
            status=status,
            detail=repr(reply.error if reply.error is not None else reply.value)[:500],
        )
        self._seams.trace.append(ended)
        self._sandbox._told(self._name, ended)
        if reply.error is not None:
            raise reply.error
        return reply.value


def _succeeded(value: object) -> bool:
    return not isinstance(value, Mapping) or value.get("status", "success") == "success"


def _describe(reply: ToolReply) -> str:
    if reply.lost:
        return f"the work was done and the reply was lost: {reply.error!r}"
    return f"the reply came {reply.delay_s:g} s late"
