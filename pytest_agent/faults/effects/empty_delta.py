"""One event of the stream says nothing, and the others do."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Chunk, Reply


class EmptyDelta(LlmEffect):
    """After the first event comes one of the same form whose text is empty, as many servers send it."""

    name: ClassVar[str] = "empty-delta"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every streamed reply."""
        del sweep
        return [self] if facts.get("streamed") else []

    def change_reply(self, reply: Reply) -> Reply:
        """The same events and an empty one; on a wire whose events are numbered by blocks there is none to add."""
        if not reply.streamed or not reply.chunks or b"chat.completion.chunk" not in reply.chunks[0].data:
            return reply
        frame = json.loads(reply.chunks[0].data.removeprefix(b"data: "))
        frame["choices"][0]["delta"] = {"content": ""}
        empty = Chunk(b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n")
        chunks = (reply.chunks[0], empty, *reply.chunks[1:])
        return dataclasses.replace(reply, chunks=chunks, whole=len(chunks))
