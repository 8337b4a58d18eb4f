"""The provider answers with one of its documented errors instead of a turn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import ErrorKind, Reply, RetryAfter
from pytest_agent.llm.request import ModelRequest


class ProviderError(LlmEffect):
    """The status, headers and body that the request's protocol has for `kind`. `retry_after_s` sets the header."""

    name: ClassVar[str] = "provider-error"
    kind: ErrorKind
    retry_after_s: float | None = Field(default=None, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every request."""
        del facts, sweep
        return [self]

    def answer(self, request: ModelRequest) -> Reply:
        """The error as this request's provider words it."""
        pause = None if self.retry_after_s is None else RetryAfter(self.retry_after_s)
        return request.codec.error(self.kind, request, retry_after=pause)
