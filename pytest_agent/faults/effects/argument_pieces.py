"""The arguments of a call arrive in other pieces than usual."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.openai_events import renumbered
from pytest_agent.llm.reply import Chunk, Reply


class ArgumentPieces(LlmEffect):
    """Every event of arguments holds `size` characters of them; 0 means all of them in one event."""

    name: ClassVar[str] = "argument-pieces"
    size: int = Field(default=1, ge=0)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to streamed turns that call a tool with arguments."""
        del sweep
        return [self] if facts.get("streamed") and facts.get("arguments") else []

    def change_reply(self, reply: Reply) -> Reply:
        """The same arguments, cut elsewhere."""
        chunks: list[Chunk] = []
        for _, run in itertools.groupby(reply.chunks, _call_of):
            pieces = list(run)
            text = "".join(delta.arguments for chunk in pieces for delta in chunk.deltas)
            chunks += self._cut(pieces[0], text) if text and reply.streamed else pieces
        new = renumbered(chunks)
        return reply if new == reply.chunks else dataclasses.replace(reply, chunks=new, whole=len(new))

    def _cut(self, chunk: Chunk, text: str) -> list[Chunk]:
        size = self.size or len(text)
        old = json.dumps(chunk.deltas[0].arguments, ensure_ascii=False).encode("utf-8", "backslashreplace")
        head, found, tail = chunk.data.rpartition(old)
        if not found:  # a wire that has arguments as an object, which comes whole
            return [chunk]
        return [
            dataclasses.replace(
                chunk,
                data=head + json.dumps(piece, ensure_ascii=False).encode("utf-8", "backslashreplace") + tail,
                deltas=(dataclasses.replace(chunk.deltas[0], arguments=piece),),
                delay_s=0.0 if start else chunk.delay_s,
            )
            for start in range(0, len(text), size)
            for piece in [text[start : start + size]]
        ]


def _call_of(chunk: Chunk) -> tuple[int, int | None]:
    """Chunks with arguments of one call belong together; any other stands by itself."""
    delta = chunk.deltas[0] if len(chunk.deltas) == 1 else None
    if delta is None or not delta.arguments:
        return id(chunk), None
    return 0, delta.index
