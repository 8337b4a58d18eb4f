"""The tool does its work, and its answer never arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply


class LoseReply(ToolEffect):
    """After the commit the caller gets an error of the transport, `after_s` virtual seconds later.

    `how`: `timeout` raises TimeoutError, `reset` raises ConnectionResetError.
    """

    name: ClassVar[str] = "lose-reply"
    how: Literal["timeout", "reset"] = "timeout"
    after_s: float = Field(default=30.0, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to tools that change the world; both ways where `how` is swept."""
        if not facts.get("effect"):
            return []
        return [self.with_params(how=how) for how in ("timeout", "reset")] if "how" in sweep else [self]

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """The same work done, and an error in place of the answer."""
        error: BaseException
        if self.how == "timeout":
            error = TimeoutError(f"no reply within {self.after_s:g} s")
        else:
            error = ConnectionResetError("connection reset by peer before the reply")
        return dataclasses.replace(reply, error=error, delay_s=reply.delay_s + self.after_s, lost=True)
