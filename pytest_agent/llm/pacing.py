"""A reply at a pace: as a provider sends it, a stream token by token and a plain body when all of it is there."""

from __future__ import annotations

import dataclasses
import itertools

from pytest_agent.llm.pace import Pace
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.wire import ARGUMENT_PIECE, WORDS


def paced(reply: Reply, pace: Pace, seed: str) -> Reply:
    """The same reply, as slow as the pace says, on top of any delay that it has.

    The head of a stream comes at once and its first event with the first token; an event that holds no token comes
    with the one before it. A plain reply comes whole, when a stream of it would have ended.
    """
    waits_s = pace.delays_s(seed)
    if not reply.streamed:
        return dataclasses.replace(reply, head_s=reply.head_s + sum(itertools.islice(waits_s, _tokens(reply))))
    chunks: list[Chunk] = []
    spoken = False
    for index, chunk in enumerate(reply.chunks):
        holds_token = any(delta.text or delta.arguments for delta in chunk.deltas)
        wait_s = next(waits_s) if index == 0 or (holds_token and spoken) else 0.0
        spoken = spoken or holds_token
        chunks.append(dataclasses.replace(chunk, delay_s=chunk.delay_s + wait_s) if wait_s else chunk)
    return dataclasses.replace(reply, chunks=tuple(chunks))


def _tokens(reply: Reply) -> int:
    """How many tokens a stream of this plain reply would have; one that says nothing takes as long as one."""
    deltas = [delta for chunk in reply.chunks for delta in chunk.deltas]
    words = sum(len(WORDS.findall(delta.text)) for delta in deltas)
    return max(1, words + sum(-(-len(delta.arguments) // ARGUMENT_PIECE) for delta in deltas))
