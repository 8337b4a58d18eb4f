"""A reply on its way, and what the trace keeps of a request and of its reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pytest_agent.faults.site import Site
from pytest_agent.llm.calls import LogicalCall
from pytest_agent.llm.describing import assembled
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import ModelRequest
from pytest_agent.llm.turn import Usage
from pytest_agent.trace import ModelReplied, ModelRequested


class Recorder(Protocol):
    """Who writes down how a delivery ended."""

    def record_delivery(self, delivery: Delivery, end: str) -> None:
        """Write what arrived of a reply."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A reply on its way: what was read of it, and how it ended. `done` writes the record once.

    `where` is the text form of `site`, `asked` the model that the request names. `usage` is what the provider counts
    for it, None for an error; `cost_usd` is None where the price is not known.
    """

    model: Recorder
    site: Site
    where: str
    call: LogicalCall
    reply: Reply
    asked: str = ""
    usage: Usage | None = None
    cost_usd: float | None = None
    delivered: int = 0
    ended: bool = False

    def hand_over(self, chunk: Chunk) -> None:
        """The client gets this chunk now. With the terminal one the turn is complete, before anyone can act on it."""
        if self.delivered < len(self.reply.chunks):  # what comes after is a keep-alive, no piece of the reply
            self.delivered += 1
        if chunk.terminal:
            self.done("complete")

    def done(self, end: str) -> None:
        """The client has all it will get: `complete`, `cut`, `timeout`, `closed` or `hung`."""
        if not self.ended:
            self.ended = True
            self.model.record_delivery(self, end)

    @property
    def is_complete(self) -> bool:
        """Whether the terminal marker has arrived."""
        terminal_at = self.reply.terminal_at
        return terminal_at is not None and terminal_at < self.delivered

    def close(self) -> None:
        """Nothing more arrives. The call counts as answered when the terminal marker of its reply has arrived."""
        self.call.flowing = False
        if self.is_complete:
            self.call.answered, self.call.heard = True, self.reply.meant

    def arrived(self, end: str) -> ModelReplied:
        """What the trace keeps of it."""
        reply, ok = self.reply, self.is_complete
        deltas = [delta for chunk in reply.chunks[: self.delivered] for delta in chunk.deltas]
        return ModelReplied(
            site=self.where,
            call=self.site.n,
            attempt=self.site.attempt,
            status=reply.status,
            end="complete" if ok or reply.status >= 400 else end,
            streamed=reply.streamed,
            events=reply.events,
            delivered=self.delivered,
            terminal_at=reply.terminal_at,
            text="".join([delta.text for delta in deltas]),
            calls=assembled(deltas),
            error_code=reply.error_code,
            heard=ok and reply.meant,
        )


def requested(site: Site, where: str, request: ModelRequest) -> ModelRequested:
    """What the trace keeps of a request. `where` is the text form of `site`."""
    return ModelRequested(
        site=where,
        call=site.n,
        attempt=site.attempt,
        model=request.model,
        stream=request.stream,
        messages=request.messages,
        body_sha256=request.body_sha256,
        key=request.idempotency_key,
    )
