"""Logical calls and their attempts: which wire request belongs to which question of the agent.

A request is an attempt of an earlier logical call when its body is the same as that of an unanswered or failed one,
or the SDK says that it retries, or it carries the same idempotency key. Otherwise it is the next call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_agent.llm.request import ModelRequest


@dataclass(slots=True)
class LogicalCall:
    """One question of the agent. `turn` is the index in the script of what it is told.

    `flowing`: a reply that no fault touched is on its way, so that the same question once more is another question,
    as of an agent that asks for several answers at once. `tools_failed` are the sites whose reply was lost.
    """

    n: int
    body_sha256: str
    idempotency_key: str | None
    turn: int
    attempts: int = 1
    answered: bool = False
    heard: bool = False
    flowing: bool = False
    tools_failed: set[str] = field(default_factory=set)


class CallBook:
    """The logical calls of one conversation, in program order."""

    def __init__(self) -> None:
        self.calls: list[LogicalCall] = []

    def retried(self, request: ModelRequest) -> LogicalCall | None:
        """The earlier call that this request tries again, counted as one more attempt; None for a new call."""
        found = next((call for call in reversed(self.calls) if self._same(call, request)), None)
        if found is not None:
            found.attempts += 1
        return found

    def open(self, request: ModelRequest, turn: int) -> LogicalCall:
        """A new logical call that is told this turn of the script."""
        made = LogicalCall(len(self.calls) + 1, request.body_sha256, request.idempotency_key, turn)
        self.calls.append(made)
        return made

    @staticmethod
    def _same(call: LogicalCall, request: ModelRequest) -> bool:
        if request.idempotency_key is not None and request.idempotency_key == call.idempotency_key:
            return True
        if call.body_sha256 != request.body_sha256:
            return False
        return request.retry_count > 0 or not (call.answered or call.flowing)
