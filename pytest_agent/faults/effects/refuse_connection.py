"""The tool cannot be reached: nothing was sent and nothing was done."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply


class RefuseConnection(ToolEffect):
    """The caller gets ConnectionRefusedError at once."""

    name: ClassVar[str] = "refuse-connection"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every tool."""
        del sweep
        return [self] if "effect" in facts else []

    def instead(self) -> ToolReply:
        """The error of the transport."""
        return ToolReply(error=ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), refused=True)
