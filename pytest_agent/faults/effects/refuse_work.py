"""The tool does nothing, and says so in a reply that looks like any other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self, get_args

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply

How = Literal["ok-false", "status"]
_REPLIES: dict[How, dict[str, Any]] = {
    "ok-false": {"ok": False, "error": "rejected"},
    "status": {"status": "permanent_error", "error_code": "rejected", "reason": "the request was rejected"},
}


class RefuseWork(ToolEffect):
    """No exception and no status of the transport: only the words of the reply say that nothing was done.

    `how`: `ok-false` is `{"ok": false, "error": ...}`, `status` has a `permanent_error` and its code.
    """

    name: ClassVar[str] = "refuse-work"
    lasts: Literal["attempt", "run"] = "run"
    how: How = "ok-false"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to tools that change the world; both ways where `how` is swept."""
        if not facts.get("effect"):
            return []
        return [self.with_params(how=how) for how in get_args(How)] if "how" in sweep else [self]

    def instead(self) -> ToolReply:
        """The error as a value."""
        return ToolReply(dict(_REPLIES[self.how]), refused=True)
