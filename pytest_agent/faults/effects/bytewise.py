"""The stream arrives byte by byte: characters and events are split anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Chunk, Reply


class Bytewise(LlmEffect):
    """The same body, one byte in each piece of it."""

    name: ClassVar[str] = "bytewise"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every streamed reply."""
        del sweep
        return [self] if facts.get("streamed") else []

    def change_reply(self, reply: Reply) -> Reply:
        """Each chunk in pieces; the last of them says what the whole said."""
        if not reply.streamed:
            return reply
        pieces = tuple(piece for chunk in reply.chunks for piece in _pieces(chunk))
        return dataclasses.replace(reply, chunks=pieces, whole=len(pieces))


def _pieces(chunk: Chunk) -> list[Chunk]:
    data = [chunk.data[place : place + 1] for place in range(len(chunk.data))]
    if not data:
        return [chunk]
    last = dataclasses.replace(chunk, data=data[-1], delay_s=0.0 if len(data) > 1 else chunk.delay_s)
    first = [Chunk(piece, delay_s=0.0 if place else chunk.delay_s) for place, piece in enumerate(data[:-1])]
    return [*first, last]
