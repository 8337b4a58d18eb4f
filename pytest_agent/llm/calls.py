"""Logical calls and their attempts: which wire request belongs to which question of the agent.

A request is an attempt of an earlier logical call when its body is the same as that of an unanswered or failed one,
or the SDK says that it retries, or it carries the same idempotency key. Otherwise it is the next call. A process that
was started again and asks what the one before it has asked tries that again too, answered or not.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import Turn

REMEMBERED = 2_000
"""Logical calls of one conversation that are kept, so that a long load needs no more memory than a short one."""


@dataclass(slots=True)
class LogicalCall:
    """One question of the agent, and what it is `told`: None where nothing says anything then.

    `turn` is the index of that in the script, `rule` the number of the rule that says it and `place` which of its turns
    it is; a function's answer has neither. `flowing`: a reply that no fault touched is on its way, so that the same
    question once more is another question, as of an agent that asks for several answers at once. `tools_failed` are
    the sites whose reply was lost. `earlier`: a process that was there before asked it, and this one has not yet.
    """

    n: int
    body_sha256: str
    idempotency_key: str | None
    told: Turn | None = None
    turn: int | None = None
    rule: int | None = None
    place: int = 0
    attempts: int = 1
    answered: bool = False
    heard: bool = False
    flowing: bool = False
    earlier: bool = False
    tools_failed: set[str] = field(default_factory=set)

    @property
    def to_be_said_again(self) -> bool:
        """Whether the turn did not arrive as it was meant, or the tools that it called have failed."""
        return not self.heard or bool(self.tools_failed)


class CallBook:
    """The logical calls of one conversation, in program order."""

    def __init__(self) -> None:
        self.count = 0
        self._calls: OrderedDict[int, LogicalCall] = OrderedDict()
        self._by_body: dict[str, LogicalCall] = {}
        self._by_key: dict[str, LogicalCall] = {}
        self._waiting: dict[str, list[LogicalCall]] = {}
        self._restarts = 0
        self._begins = 0

    @property
    def last(self) -> LogicalCall | None:
        """The latest call."""
        return next(reversed(self._calls.values()), None)

    def begin(self) -> None:
        """A new conversation: what was asked before is not asked again in it."""
        self._begins = self.count
        for call in self._calls.values():
            call.earlier = False

    def retried(self, request: ModelRequest, restarts: int = 0) -> LogicalCall | None:
        """The earlier call that this request tries again, counted as one more attempt; None for a new call.

        `restarts` counts the processes that were there before the one that asks.
        """
        if restarts != self._restarts:
            self._restarts = restarts
            self._start_again()
        call = self._of_body(request)
        if request.idempotency_key is not None:
            same = self._by_key.get(request.idempotency_key)
            if same is not None and (call is None or same.n > call.n):
                call = same
        if call is not None:
            call.attempts += 1
            call.answered = call.answered and not call.earlier
            call.earlier = False
        return call

    def open(self, request: ModelRequest) -> LogicalCall:
        """A new logical call."""
        self.count += 1
        call = LogicalCall(self.count, request.body_sha256, request.idempotency_key)
        self._keep(call)
        if len(self._calls) > REMEMBERED:
            self._forget()
        return call

    def snapshot(self) -> dict[str, Any]:
        """Every call that is kept, as JSON data."""
        calls = [{**asdict(call), "tools_failed": sorted(call.tools_failed)} for call in self._calls.values()]
        return {"count": self.count, "calls": calls, "begins": self._begins}

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from there, in a process that was started again. A reply that was under way was never heard."""
        self.count, self._begins = data["count"], data["begins"]
        for kept in data["calls"]:
            told = None if kept["told"] is None else Turn.from_data(kept["told"])
            more = {"told": told, "tools_failed": set(kept["tools_failed"]), "flowing": False}
            self._keep(LogicalCall(**{**kept, **more}))
        self._start_again()

    def _of_body(self, request: ModelRequest) -> LogicalCall | None:
        if request.retry_count > 0:
            return self._by_body.get(request.body_sha256)
        waiting = [call for call in self._waiting.pop(request.body_sha256, ()) if not call.answered or call.earlier]
        if not waiting:
            return None
        self._waiting[request.body_sha256] = waiting
        key = request.idempotency_key
        earlier = next((call for call in waiting if call.earlier and call.idempotency_key == key), None)
        if earlier is not None:
            return earlier
        waiting = [call for call in waiting if not call.answered]
        return next((call for call in reversed(waiting) if not call.flowing), None)

    def _start_again(self) -> None:
        self._waiting.clear()
        for call in self._calls.values():
            call.earlier, call.flowing = call.n > self._begins, False
            self._waiting.setdefault(call.body_sha256, []).append(call)

    def _keep(self, call: LogicalCall) -> None:
        self._calls[call.n] = self._by_body[call.body_sha256] = call
        self._waiting.setdefault(call.body_sha256, []).append(call)
        if call.idempotency_key is not None:
            self._by_key[call.idempotency_key] = call

    def _forget(self) -> None:
        _, call = self._calls.popitem(last=False)
        if self._by_body.get(call.body_sha256) is call:
            del self._by_body[call.body_sha256]
            self._waiting.pop(call.body_sha256, None)
        if call.idempotency_key is not None and self._by_key.get(call.idempotency_key) is call:
            del self._by_key[call.idempotency_key]
