"""Recovery: what kind of error it was, one deadline for all attempts, and the pause between them."""

from __future__ import annotations

import random
import socket
import sys
from dataclasses import dataclass
from enum import StrEnum

from agentfsm.ports import Clock


class ErrorClass(StrEnum):
    """Who owns an error: the retry, nobody, the model, nobody."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    INVALID_INPUT = "invalid_input"
    CONTRACT_VIOLATION = "contract_violation"


class Deadline:
    """A point in monotonic time, carried down through every layer. It is never extended."""

    def __init__(self, clock: Clock, at: float) -> None:
        self._clock = clock
        self.at = at

    @classmethod
    def after(cls, clock: Clock, delay_s: float) -> Deadline:
        """Return the deadline `delay_s` seconds from now."""
        return cls(clock, clock.monotonic() + delay_s)

    def within(self, delay_s: float) -> Deadline:
        """Return the nearer of this one and `delay_s` seconds from now."""
        return Deadline(self._clock, min(self.at, self._clock.monotonic() + delay_s))

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self._clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining() <= 0.0


@dataclass(frozen=True)
class Retry:
    """Exponential back-off with full jitter. `attempts` bounds the wire attempts of one logical call."""

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 8.0
    seed: int = 0

    def pause(self, key: str, attempt: int, retry_after_s: float | None, deadline: Deadline) -> float | None:
        """Return the seconds to wait after failed `attempt`, or None where no further attempt fits.

        A `retry_after_s` is a floor: the jitter comes on top of it, as far as the deadline has room.
        """
        left = deadline.remaining()
        floor = max(0.0, retry_after_s or 0.0)
        if attempt >= self.attempts or floor >= left:
            return None
        ceiling = min(self.cap_s, self.base_s * 2 ** (attempt - 1))
        jitter = random.Random(f"{self.seed}:{key}:{attempt}").uniform(0.0, ceiling)  # noqa: S311 - not secret
        pause = floor + jitter
        if pause < left:
            return pause
        return floor if retry_after_s else None

    def park(self, key: str, attempt: int, retry_after_s: float | None, deadline: Deadline) -> float | None:
        """Return the pause of the stage, whose deadline is the task's, or None where no further attempt fits.

        It owns what a call cannot wait for: a Retry-After beyond its deadline, a dependency that stays down. It waits
        up to `cap_s` and more with each attempt.
        """
        left = deadline.remaining()
        if attempt >= self.attempts:
            return None
        floor = max(0.0, retry_after_s or 0.0)
        jitter = random.Random(f"{self.seed}:{key}:{attempt}:park").uniform(0.5, 1.0)  # noqa: S311 - not secret
        pause = floor + self.cap_s * attempt * jitter
        if pause < left:
            return pause
        return floor if 0 < floor < left else None


def not_sent() -> tuple[type[BaseException], ...]:
    """Return what is raised before anything left this process: no effect can have happened."""
    httpx = sys.modules.get("httpx")  # who has not imported it raises nothing of it
    more = () if httpx is None else (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
    return (ConnectionRefusedError, socket.gaierror, *more)


def lost() -> tuple[type[BaseException], ...]:
    """Return what is raised when a reply did not come: the effect may have happened."""
    httpx = sys.modules.get("httpx")
    more = () if httpx is None else (httpx.TransportError,)
    return (TimeoutError, ConnectionError, EOFError, *more)


def silent(error: BaseException) -> bool:
    """Whether nothing came in time, rather than an end of the connection."""
    httpx = sys.modules.get("httpx")
    return isinstance(error, TimeoutError) or (httpx is not None and isinstance(error, httpx.TimeoutException))
