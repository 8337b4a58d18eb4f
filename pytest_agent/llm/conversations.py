"""Which conversation a request belongs to, where several agents ask at the same time.

A name counts only where the test has declared it; a request that names none of them belongs to the default one.
"""

from __future__ import annotations

import contextlib
import contextvars
import re
from collections.abc import Iterator, Mapping

HEADER = "x-conversation-id"
_KEYS = ("x-api-key", "x-goog-api-key", "api-key")
NAMING = (HEADER, "traceparent", "authorization", *_KEYS)
"""The headers that may name a conversation."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_CURRENT: contextvars.ContextVar[str | None] = contextvars.ContextVar("conversation", default=None)


def conversation_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The names that a request's headers offer, the most telling first.

    They are `x-conversation-id`, the trace id of `traceparent`, and the API key: a secret, so that only a test that
    has declared it as a name may ever show it. `headers` are asked in lower case.
    """
    return tuple(dict.fromkeys(_names(headers)))


def shown_names(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The same without the API key: what a message may show."""
    return tuple(name for name in (headers.get(HEADER), _trace_id(headers)) if name)


def current() -> str | None:
    """The conversation that this context speaks as, where it is inside `speaking_as`."""
    return _CURRENT.get()


@contextlib.contextmanager
def speaking_as(name: str) -> Iterator[None]:
    """What is asked inside, and in tasks that are started inside, belongs to the conversation of this name."""
    token = _CURRENT.set(name)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _names(headers: Mapping[str, str]) -> Iterator[str]:
    yield from shown_names(headers)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        yield token.strip()
    yield from (headers[key] for key in _KEYS if headers.get(key))


def _trace_id(headers: Mapping[str, str]) -> str | None:
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    return found["trace"] if found else None
