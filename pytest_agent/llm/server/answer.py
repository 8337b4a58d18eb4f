"""What a request is answered with: a reply, and who wants to know how it went."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pytest_agent.errors import ProcessDied
from pytest_agent.llm.record import Delivery
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.server.journal import Entry


@dataclass(slots=True)
class Answer:
    """A reply on its way to one client. `delivery` writes the trace, `entry` the journal; either may be absent."""

    reply: Reply
    delivery: Delivery | None = None
    entry: Entry | None = None

    def hand_over(self, chunk: Chunk) -> None:
        """The client gets this chunk now."""
        if self.delivery is not None:
            # The process that dies here is not that of the server: it finds out wherever it goes next.
            with suppress(ProcessDied):
                self.delivery.hand_over(chunk)

    def done(self, end: str) -> None:
        """The client has all that it will get: `complete`, `cut` or `closed`. Again does nothing."""
        if self.delivery is not None:
            with suppress(ProcessDied):
                self.delivery.done(end)
        if self.entry is not None:
            reply = self.reply
            whole = end == "cut" and (reply.status >= 400 or self.delivery is None or reply.terminal_at is not None)
            self.entry.done("complete" if whole else end)
