"""The reply is good, and its headers say that nothing is left of the rate limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply

_HEADERS = (
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-remaining-requests", "0"),
    ("x-ratelimit-reset-requests", "1s"),
)


class LimitHeaders(LlmEffect):
    """A 200 with the documented headers of a limit that is just used up."""

    name: ClassVar[str] = "limit-headers"

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every reply."""
        del facts, sweep
        return [self]

    def change_reply(self, reply: Reply) -> Reply:
        """The same body, and these headers in place of those of the same names."""
        kept = [header for header in reply.headers if header[0] not in dict(_HEADERS)]
        return dataclasses.replace(reply, headers=(*kept, *_HEADERS))
