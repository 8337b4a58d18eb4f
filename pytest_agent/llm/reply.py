"""The bytes of a reply, before they are sent: what effects act on, whatever the provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

ErrorKind = Literal[
    "authentication",
    "bad_request",
    "content_filter",
    "context_length_exceeded",
    "insufficient_quota",
    "model_not_found",
    "not_found",
    "overloaded",
    "permission_denied",
    "rate_limit",
    "request_too_large",
    "server_error",
    "service_unavailable",
    "spend_limit",
    "timeout",
]
"""Errors that providers document; a codec knows how its provider words each, or what it says nearest to it."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The pause that an error asks for, and how its header says it.

    `seconds`: `retry-after: 3`; `ms`: `retry-after-ms: 3000`; `date`: an HTTP date in `retry-after`, counted from now.
    """

    pause_s: float
    form: Literal["seconds", "ms", "date"] = "seconds"


@dataclass(frozen=True, slots=True)
class Delta:
    """What one chunk adds to the turn: a piece of text, or of the arguments of the call at `index`."""

    text: str = ""
    index: int | None = None
    name: str = ""
    id: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of the body, sent by itself `delay_s` virtual seconds after the one before it.

    `terminal` marks the piece by which the provider says that the turn is complete.
    """

    data: bytes
    delay_s: float = 0.0
    terminal: bool = False
    deltas: tuple[Delta, ...] = ()


class StreamWords(Protocol):
    """What a provider can say in a stream besides a turn."""

    @property
    def keep_alive(self) -> bytes:
        """The piece that only says that the connection is alive."""

    def error_event(self, kind: ErrorKind) -> Chunk:
        """An error as an event of a stream whose status was 200."""


End = Literal["close", "silence", "keep-alive", "reset", "incomplete"]
"""How a body ends: it closes; it never does, silently or with keep-alives; the connection breaks, in two ways."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `head_s`: virtual seconds until its status and headers arrive; `words`: its provider's own.

    `meant` is False where this is not what the script says; `whole` keeps the number of chunks before a cut.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[Chunk, ...]
    streamed: bool = False
    end: End = "close"
    head_s: float = 0.0
    words: StreamWords | None = None
    error_code: str | None = None
    meant: bool = True
    whole: int | None = None

    @property
    def events(self) -> int:
        """How many chunks the reply has when nothing cuts it."""
        return len(self.chunks) if self.whole is None else self.whole

    @property
    def terminal_at(self) -> int | None:
        """The index of the terminal chunk, or None where there is none."""
        for index, chunk in enumerate(self.chunks):
            if chunk.terminal:
                return index
        return None
