"""The answer of the tool is good, and has a note beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from pytest_agent.faults.effect import Facts, ToolEffect, ToolReply

Which = Literal["ok", "notice"]
_NOTES: dict[Which, dict[str, Any]] = {
    "ok": {"ok": True, "error": None},
    "notice": {"notice": "The service was not available for a moment. It is now."},
}


class NoteReply(ToolEffect):
    """An object gets further fields. `which`: an `ok` with an error that is null, or a `notice` for people."""

    name: ClassVar[str] = "note-reply"
    which: Which

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every tool."""
        del sweep
        return [self] if "effect" in facts else []

    def change_reply(self, reply: ToolReply) -> ToolReply:
        """The same answer and the note; one that is no object stays as it is."""
        if reply.error is not None or not isinstance(reply.value, Mapping):
            return reply
        return dataclasses.replace(reply, value={**_NOTES[self.which], **reply.value})
