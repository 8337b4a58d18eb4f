"""The `sandbox` fixture: the author's functions as tools, with a ledger, keys, and faults in between."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import inspect
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_agent.errors import RunAbort
from pytest_agent.faults.effect import ToolEffect, ToolReply
from pytest_agent.faults.seams import Seams
from pytest_agent.faults.site import Site
from pytest_agent.outcome import raised_by_tool
from pytest_agent.sandbox.book import LogicalToolCall, ToolBook, canonical
from pytest_agent.sandbox.contract import KEY, ArgumentContract
from pytest_agent.sandbox.ledger import Ledger
from pytest_agent.trace import EffectCommitted, ToolCalled, ToolReplied, WorldChecked, plain, safe_repr

HANG_S = 3600.0
"""Virtual seconds after which a sync tool that never answers ends the run."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Sleep = Callable[[float], None]

_FAILED = ("temporary_error", "permanent_error", "invalid_input", "error", "failed")
"""What a tool's `status` says where it has done nothing; any other word is of the tool's own business."""


class Sandbox:
    """Tools whose effects are on a ledger.

    Hand `sandbox.tools` to the agent; they are called as the functions are, and with `idempotency_key=` where the
    agent has one. The ledger tells what happened, whatever the agent says.
    """

    def __init__(self, seams: Seams, ledger: Path, sleep: Sleep, told: Callable[[ToolReplied], None]) -> None:
        self._seams = seams
        self._sleep = sleep
        self._told = told
        self._book = ToolBook(seams.trace)
        self._tools: dict[str, Callable[..., Any]] = {}
        self._replies: dict[tuple[str, str], tuple[str, object]] = {}
        self._lock = threading.RLock()  # agents call tools from several threads at once
        self._predicates: list[tuple[str, Callable[[], bool]]] = []
        self._folder: Path | None = None
        self._kept = False
        self.ledger = Ledger(ledger)

    @property
    def folder(self) -> Path:
        """An empty folder for the files of this run, such as the agent's database; gone when the run is over.

        In memory where the system has a file system there: a flush then costs nothing, and a killed process loses
        nothing that was written.
        """
        if self._folder is None:
            memory = "/dev/shm"  # noqa: S108 - a fresh folder with a random name is made in it
            where = memory if os.access(memory, os.W_OK | os.X_OK) else None
            self._folder = Path(tempfile.mkdtemp(prefix="pytest-agent-", dir=where))
        return self._folder

    def keep_in(self, folder: Path) -> None:
        """Use this folder for the files of the run, and leave it there when the run is over."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._kept = folder, True

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """The tools by name, read-only."""
        return MappingProxyType(self._tools)

    def tool(self, name: str, *, effect: bool = False, idempotent: bool = False) -> Callable[[FunctionT], FunctionT]:
        """Make a function a tool: `@sandbox.tool("payments.refund", effect=True)`.

        `effect`: a call that ends well is a change of the world and goes on the ledger; one that raises, or returns a
        `{"status": ...}` of `temporary_error`, `permanent_error`, `invalid_input`, `error` or `failed`, is not.
        `idempotent`: a second call with the same `idempotency_key` returns the first reply and changes nothing; with
        other arguments it is refused as `invalid_input`. A function with a parameter `idempotency_key` is given it.
        Raises ValueError for a name given twice.
        """
        if not isinstance(name, str) or not name:
            raise TypeError(f"a tool needs a name, found {name!r}; write @sandbox.tool('payments.refund')")
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

    def snapshot(self) -> dict[str, Any]:
        """The world as JSON data: it outlives the agent's process. Replies that tools remember must be JSON."""
        return {
            "ledger": [{"tool": e.tool, "arguments": plain(e.arguments), "key": e.key} for e in self.ledger],
            "book": self._book.snapshot(),
            "replies": [[tool, key, written, value] for (tool, key), (written, value) in self._replies.items()],
        }

    def restore(self, data: dict[str, Any]) -> None:
        """The world as `snapshot` gave it."""
        self.ledger.restore(data["ledger"])
        self._book.restore(data["book"])
        self._replies = {(tool, key): (written, value) for tool, key, written, value in data["replies"]}

    def finish(self) -> None:
        """Evaluate the predicates, close the ledger and remove the folder."""
        for name, predicate in self._predicates:
            entries = "; ".join(str(entry) for entry in self.ledger) or "the ledger is empty"
            try:
                holds, detail = bool(predicate()), entries
            except Exception as error:  # noqa: BLE001 - the author's own code; what cannot be said does not hold
                holds, detail = False, f"raised {safe_repr(error)}; {entries}"
            self._seams.trace.append(WorldChecked(name=name, holds=holds, detail=detail))
        self.ledger.close()
        if self._folder is not None and not self._kept:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One invocation. `inputs` is what the function gets, `arguments` a copy of them for the ledger."""

    logical: LogicalToolCall
    site: Site
    inputs: dict[str, Any]
    arguments: dict[str, Any]
    written: str
    key: str | None
    still_s: float = 0.0


class _Tool:
    """One registered function: records the call, commits the effect, lets the faults act on the reply."""

    def __init__(
        self, sandbox: Sandbox, name: str, function: Callable[..., Any], *, effect: bool, idempotent: bool
    ) -> None:
        self._sandbox = sandbox
        self._seams = sandbox._seams
        self._name = name
        self._function = function
        self._contract = ArgumentContract(name, function)
        self._effect = effect
        self._idempotent = idempotent

    def wrapped(self) -> Callable[..., Any]:
        """A function of the same kind, sync or async, that takes `idempotency_key` besides."""
        if _is_async(self._function):

            @functools.wraps(self._function)
            async def acall(*args: Any, idempotency_key: str | None = None, **named: Any) -> Any:
                attempt = self._begin(args, named, idempotency_key)
                known = self._instead(attempt) or self._known(attempt)
                try:
                    if attempt.still_s:
                        await asyncio.sleep(attempt.still_s)
                    try:
                        reply = known or ToolReply(await self._function(**attempt.inputs))
                    except Exception as error:  # noqa: BLE001 - whatever the author's tool raises is its reply
                        reply = _raised(error)
                    reply = self._commit(reply, attempt, known is not None)
                    if reply.delay_s:
                        await asyncio.sleep(reply.delay_s)
                    if reply.hangs:
                        await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    if not self._seams.is_dead:
                        self._record(ToolReply(error=TimeoutError("the caller stopped waiting"), lost=True), attempt)
                    raise
                return self._end(reply, attempt)

            return acall

        @functools.wraps(self._function)
        def call(*args: Any, idempotency_key: str | None = None, **named: Any) -> Any:
            attempt = self._begin(args, named, idempotency_key)
            known = self._instead(attempt) or self._known(attempt)
            if attempt.still_s:
                self._sandbox._sleep(attempt.still_s)
            try:
                reply = known or ToolReply(self._function(**attempt.inputs))
            except Exception as error:  # noqa: BLE001 - whatever the author's tool raises is its reply
                reply = _raised(error)
            if inspect.iscoroutine(reply.value):
                reply.value.close()
                raise TypeError(f"tool {self._name!r} is no async function and returned a coroutine; make it async def")
            reply = self._commit(reply, attempt, known is not None)
            if reply.delay_s:
                self._sandbox._sleep(reply.delay_s)
            if reply.hangs:
                self._hang(reply, attempt)
            return self._end(reply, attempt)

        return call

    def _begin(self, args: tuple[Any, ...], named: dict[str, Any], key: str | None) -> _Attempt:
        self._seams.check_alive()
        inputs, problem = self._contract.by_name(args, named)
        problem = problem or self._contract.problem(inputs)
        shown = plain(inputs)
        written = canonical(shown)
        with self._sandbox._lock:
            logical = self._sandbox._book.open(self._name, written, key)
            site = Site("tool", self._name, logical.n, logical.attempts)
            self._seams.trace.append(
                ToolCalled(
                    site=str(site),
                    tool=self._name,
                    call=site.n,
                    attempt=site.attempt,
                    arguments=shown,
                    key=key,
                    effect=self._effect,
                    problem=problem,
                )
            )
        # The function may change what it is given; the ledger holds what it was asked for.
        attempt = _Attempt(logical, site, inputs, _copied(inputs), written, key)
        if problem is not None:
            error = TypeError(f"{self._name}: {problem}")
            self._record(ToolReply(error=error), attempt)
            raise error
        if self._contract.wants_key:
            inputs[KEY] = key
        return dataclasses.replace(attempt, still_s=self._seams.reach(site, "before-call"))

    def _instead(self, attempt: _Attempt) -> ToolReply | None:
        """The reply of a fault that keeps the tool from its work."""
        for fault, effect in self._seams.at(attempt.site, ToolEffect):
            reply = effect.instead()
            if reply is not None:
                self._seams.struck(fault, attempt.site, _describe(reply))
                return reply
        return None

    def _known(self, attempt: _Attempt) -> ToolReply | None:
        """The reply this key has had before, where the tool remembers keys."""
        if not self._idempotent or attempt.key is None or (self._name, attempt.key) not in self._sandbox._replies:
            return None
        written, value = self._sandbox._replies[self._name, attempt.key]
        if written == attempt.written:
            return ToolReply(value)
        return ToolReply({"status": "invalid_input", "error_code": "idempotency_key_reused"})

    def _commit(self, reply: ToolReply, attempt: _Attempt, known: bool) -> ToolReply:
        # A dead process has done nothing more, although its thread or task is still here.
        self._seams.check_alive()
        site = attempt.site
        with self._sandbox._lock:
            if reply.error is None and not known:
                # Another attempt with the same key may have come first while this one was under way.
                first = self._known(attempt)
                if first is not None:
                    reply = first
                elif _succeeded(reply.value):
                    self._change_the_world(reply, attempt)
        still_s = self._seams.reach(site, "after-effect")
        if still_s:
            reply = dataclasses.replace(reply, delay_s=reply.delay_s + still_s)
        for fault, effect in self._seams.at(site, ToolEffect):
            changed = effect.change_reply(reply)
            if changed is not reply:
                reply = changed
                self._seams.struck(fault, site, _describe(reply))
        if reply.lost:
            attempt.logical.failed = True
        return reply

    def _change_the_world(self, reply: ToolReply, attempt: _Attempt) -> None:
        if self._effect:
            entry = self._sandbox.ledger.commit(self._name, attempt.arguments, attempt.key)
            self._seams.trace.append(
                EffectCommitted(
                    entry=entry.n,
                    site=str(attempt.site),
                    tool=self._name,
                    arguments=plain(entry.arguments),
                    key=attempt.key,
                )
            )
        if self._idempotent and attempt.key is not None:
            self._sandbox._replies[self._name, attempt.key] = (attempt.written, reply.value)

    def _hang(self, reply: ToolReply, attempt: _Attempt) -> None:
        """What only a limit of the caller's could end, if it waits elsewhere: a thread cannot be stopped."""
        self._record(reply, attempt)
        self._sandbox._sleep(HANG_S)
        raise RunAbort("hung", f"{attempt.site}: the tool never answers and the agent waits for it for ever")

    def _end(self, reply: ToolReply, attempt: _Attempt) -> Any:
        self._record(reply, attempt)
        if reply.error is not None:
            raise reply.error
        return reply.value

    def _record(self, reply: ToolReply, attempt: _Attempt) -> None:
        status = "lost" if reply.lost else "error" if reply.error is not None else "ok"
        if reply.refused:
            status = "refused"
        attempt.logical.failed = status != "ok"
        ended = ToolReplied(
            site=str(attempt.site),
            tool=self._name,
            status=status,
            detail=safe_repr(reply.error if reply.error is not None else reply.value)[:500],
        )
        self._seams.trace.append(ended)
        self._sandbox._told(ended)
        self._seams.at_boundary(f"{attempt.site} replied")


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _raised(error: Exception) -> ToolReply:
    raised_by_tool(error)
    return ToolReply(error=error)


def _copied(arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return copy.deepcopy(arguments)
    except Exception:  # noqa: BLE001 - what cannot be copied, such as a lock, is kept as it is
        return dict(arguments)


def _succeeded(value: object) -> bool:
    return not isinstance(value, Mapping) or value.get("status") not in _FAILED


def _describe(reply: ToolReply) -> str:
    if reply.hangs:
        return "the tool never answers"
    if reply.refused:
        return f"nothing was done: {safe_repr(reply.error if reply.error is not None else reply.value)}"
    if reply.lost:
        return f"the work was done and the reply was lost: {reply.error!r}"
    return f"the reply came {reply.delay_s:g} s late" if reply.delay_s else f"the reply was {_short(reply.value)}"


def _short(value: object) -> str:
    text = safe_repr(value)
    return text if len(text) <= 120 else f"{text[:120]}… ({len(text)} characters)"
