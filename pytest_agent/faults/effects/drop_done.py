"""The stream has its finish reason but lacks the closing `[DONE]`: complete by the protocol's own terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply


class DropDone(LlmEffect):
    """The last event, which only says that nothing follows, is left out; the terminal event and the usage are not."""

    name: ClassVar[str] = "drop-done"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every streamed reply."""
        del sweep
        return [self] if facts.get("streamed") and facts.get("terminal_at") else []

    def change_reply(self, reply: Reply) -> Reply:
        """The reply without its very last event."""
        terminal_at = reply.terminal_at
        if not reply.streamed or terminal_at is None or terminal_at + 1 == len(reply.chunks):
            return reply
        if b"[DONE]" not in reply.chunks[-1].data:
            # On a wire without it the last event is one that an agent may rightly wait for.
            return reply
        return dataclasses.replace(reply, chunks=reply.chunks[:-1])
