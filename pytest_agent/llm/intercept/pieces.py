"""When the pieces of a body arrive, whatever library reads them."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_agent.errors import RunAbort
from pytest_agent.llm.intercept.desk import Sending
from pytest_agent.llm.reply import Chunk, Reply

NEVER = float("inf")
KEEP_ALIVE_S = 15.0
_PATIENCE_S = 4 * 3600.0
"""Virtual seconds of nothing but keep-alives after which a reader is taken to read for ever."""


def arrives_whole(reply: Reply) -> bool:
    """Whether there is nothing to wait for: it is there at once, whether the client reads it or not."""
    return not reply.streamed and reply.end == "close" and not any(chunk.delay_s for chunk in reply.chunks)


def hung(sending: Sending, why: str) -> RunAbort:
    """Close the record; what to raise where a client would wait for ever."""
    sending.done("hung")
    return RunAbort("hung", f"{sending.site}: {why}")


def waits(sending: Sending) -> Iterator[tuple[float, Chunk | None]]:
    """How long to wait before each piece; the last is the end of the body or endless silence."""
    reply = sending.reply
    for chunk in reply.chunks:
        yield chunk.delay_s, chunk
    if reply.end == "keep-alive" and reply.words is not None:
        beat = Chunk(reply.words.keep_alive)
        for _ in range(int(_PATIENCE_S / KEEP_ALIVE_S)):
            yield KEEP_ALIVE_S, beat
        raise hung(sending, "the client reads keep-alives for ever, it has no limit for events")
    yield (NEVER if reply.end == "silence" else 0.0), None
