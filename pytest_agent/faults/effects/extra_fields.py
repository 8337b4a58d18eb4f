"""The reply is good, and its JSON has a field more than usual."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Chunk, Reply

Which = Literal["error", "filter"]
_FIELDS: dict[Which, dict[str, Any]] = {
    "error": {"error": None},
    "filter": {
        "prompt_filter_results": [
            {"prompt_index": 0, "content_filter_results": {"violence": {"filtered": False, "severity": "safe"}}}
        ]
    },
}


class ExtraFields(LlmEffect):
    """Every object of the body has a field more, as many servers send it.

    `which`: an `error` that is null, or the results of a content `filter` that has filtered nothing.
    """

    name: ClassVar[str] = "extra-fields"
    which: Which

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every reply."""
        del facts, sweep
        return [self]

    def change_reply(self, reply: Reply) -> Reply:
        """The same body with one field more in each object."""
        chunks = tuple(self._with_field(chunk) for chunk in reply.chunks)
        return reply if chunks == reply.chunks else dataclasses.replace(reply, chunks=chunks)

    def _with_field(self, chunk: Chunk) -> Chunk:
        # The object of an event, or of a whole body; `[DONE]` has none. It is its last field: there are clients that
        # take an object whose first one is `error` for one.
        start, end = chunk.data.find(b"{"), chunk.data.rfind(b"}")
        if start < 0 or (start and not chunk.data[:start].endswith(b"data: ")):
            return chunk
        field = json.dumps(_FIELDS[self.which], separators=(",", ":"))[1:-1].encode()
        return dataclasses.replace(chunk, data=chunk.data[:end] + b"," + field + chunk.data[end:])
