"""The reply is good, and its headers say more than usual."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Reply

Which = Literal["retry", "proxy", "tokens", "sign-in", "sunset"]
_HEADERS: dict[Which, tuple[tuple[str, str], ...]] = {
    "retry": (("retry-after", "2"), ("x-should-retry", "true")),
    "proxy": (("server", "cloudflare"), ("cf-ray", "8f0000000000abcd-FRA"), ("via", "1.1 varnish")),
    "tokens": (("x-ratelimit-limit-tokens", "30000"), ("x-ratelimit-remaining-tokens", "0")),
    "sign-in": (("www-authenticate", 'Bearer realm="api"'), ("x-api-key-expires-in", "600")),
    "sunset": (("deprecation", "@1767225600"), ("sunset", "Thu, 31 Dec 2099 23:59:59 GMT")),
}


class ExtraHeaders(LlmEffect):
    """A 200 with headers that are of no concern to a reply that is there.

    `which`: a `retry` hint, those of a `proxy`, no `tokens` left in this minute, how to `sign-in`, the `sunset` of
    the model.
    """

    name: ClassVar[str] = "extra-headers"
    which: Which

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every reply."""
        del facts, sweep
        return [self]

    def change_reply(self, reply: Reply) -> Reply:
        """The same body with more headers."""
        return dataclasses.replace(reply, headers=(*reply.headers, *_HEADERS[self.which]))
