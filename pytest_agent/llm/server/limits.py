"""How much a client may ask of the server, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

THREAD = "pytest-agent-llm-server"
"""The thread in which the server of a test runs, in real time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and real seconds. A client that goes beyond is answered with a 4xx, or its connection is closed.

    `head_s`: from the first byte of a head to its last; `body_s`: without a byte of a body that is under way;
    `idle_s`: between two requests; `unread_s`: while the client reads nothing of what is sent; `linger_s`: how long a
    client that was refused may go on sending before it is cut off; `keep_alive_s`: between two keep-alives of a stream
    that sends nothing else.
    """

    head_bytes: int = 64 * 1024
    body_bytes: int = 32 * 1024 * 1024
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0
    unread_s: float = 60.0
    linger_s: float = 5.0
    keep_alive_s: float = 15.0
    pipelined: int = 64

    @property
    def sweep_s(self) -> float:
        """How often connections are looked at for what is over."""
        shortest = min(self.head_s, self.body_s, self.idle_s, self.unread_s, self.linger_s)
        return max(0.005, min(1.0, shortest / 4))
