"""An error in a reply whose status says that all is well."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import ErrorKind, Reply
from pytest_agent.llm.request import ModelRequest


class ErrorBodyIn200(LlmEffect):
    """Status 200 and the JSON that the provider has for `kind`, also where a stream was asked for."""

    name: ClassVar[str] = "error-body-in-200"
    kind: ErrorKind

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every request."""
        del facts, sweep
        return [self]

    def answer(self, request: ModelRequest) -> Reply:
        """The provider's error under another status."""
        return dataclasses.replace(request.codec.error(self.kind, request), status=200)
