"""How a reply is taken in, whatever the provider: bounded, parsed, and given to what gathers it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import httpx

from agentfsm.errors import ModelError
from agentfsm.models import failures
from agentfsm.turns import Turn

MOST_BYTES = 64_000_000
"""Of one reply: several times what the longest turn of any model takes on the wire."""


class Assembly(Protocol):
    """Gathers one reply."""

    @property
    def over(self) -> bool:
        """Whether the terminal marker was seen: nothing after it is read."""

    def add(self, part: Mapping[str, Any]) -> bool:
        """Take an event of the stream, or a whole body, in; return whether it carried anything."""

    def turn(self) -> Turn:
        """Return the complete turn; raise IncompleteTurn, or ModelError where the provider stopped it."""


async def bounded(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the bytes of a reply; raise ModelError where it has no end."""
    got = 0
    async for chunk in response.aiter_bytes():
        got += len(chunk)
        if got > MOST_BYTES:
            raise ModelError(f"the reply has more than {MOST_BYTES:,} bytes", code="reply_too_large", transient=False)
        yield chunk


def add(assembly: Assembly, part: Mapping[str, Any]) -> bool:
    """Take an event or a body in, and return whether it carried anything; raise ModelError for an error in it."""
    if part.get("error"):
        raise failures.from_body(part["error"])
    with _shape():
        return assembly.add(part)


def turn_of(assembly: Assembly) -> Turn:
    """Return what was gathered as a turn."""
    with _shape():
        return assembly.turn()


@contextmanager
def _shape() -> Iterator[None]:
    """Take what a codec stumbles over for what it is: not the format of this API."""
    try:
        yield
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        said = f"reply of an unknown shape: {type(error).__name__}"
        raise ModelError(said, code="bad_response", transient=True) from error


def parse(raw: bytes) -> Any:
    """Return the JSON value, or None where it is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
