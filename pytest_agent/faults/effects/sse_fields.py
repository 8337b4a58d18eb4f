"""The events carry the other fields that the format of a stream has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply


class SseFields(LlmEffect):
    """Every event has an `id` and a `retry` line, which only mean something to who connects again, and a comment."""

    name: ClassVar[str] = "sse-fields"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every streamed reply."""
        del sweep
        return [self] if facts.get("streamed") else []

    def change_reply(self, reply: Reply) -> Reply:
        """The same events with more lines; a stream that is no SSE has none."""
        if not reply.streamed or not any(value.startswith("text/event-stream") for _, value in reply.headers):
            return reply
        chunks = tuple(
            dataclasses.replace(chunk, data=f": error 0\nid: {n}\nretry: 3000\n".encode() + chunk.data)
            for n, chunk in enumerate(reply.chunks, start=1)
        )
        return dataclasses.replace(reply, chunks=chunks)
