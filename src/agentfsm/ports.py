"""The ports: what the runtime needs from the outside, and a clock that reads the real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agentfsm.contracts import ToolContract
from agentfsm.records import Commit, Control, Inbound, Incident, Receipt, Step, Task
from agentfsm.turns import ModelRequest, Turn


class Model(Protocol):
    """A language model. One call is one wire attempt: the runtime alone repeats."""

    async def complete(self, request: ModelRequest) -> Turn:
        """Return a complete turn, or raise ModelError."""
        ...


class Tool(Protocol):
    """A tool behind its contract."""

    @property
    def contract(self) -> ToolContract:
        """What it accepts, what it answers, what it does to the world."""
        ...

    @property
    def can_query(self) -> bool:
        """Whether `query` can tell what became of a key."""
        ...

    async def call(self, arguments: Mapping[str, Any], key: str) -> object:
        """Do it; the answer is not trusted before the contract has checked it."""
        ...

    async def query(self, key: str) -> object:
        """Return the answer that `key` once had, or None where it never took effect."""
        ...


class Store(Protocol):
    """Durable state with one write door."""

    async def commit(self, change: Commit) -> Receipt:
        """Write all of it or nothing. Raise Conflict on a stale version or fence."""
        ...

    async def claim(self, owner: str, labels: Sequence[str], now: float, lease_s: float, limit: int) -> list[Task]:
        """Take up to `limit` tasks of these workflows that have something to do and nobody is at.

        That is: not at their end, no live lease, and `next_run_at` has come, or is not set although they are not
        waiting, or their cancellation was asked for. Those come first that have been due longest. Fence, owner and
        lease are changed, the version is not. `now` is the caller's, as every `lease_until` is: workers' clocks have
        to agree to well within a lease. Where they do not, a task is taken over early and the fence keeps it whole.
        """
        ...

    async def request_cancel(self, request_id: str) -> bool:
        """Ask that the task be cancelled, whoever is at it; return whether it was still under way."""
        ...

    async def controls(self) -> tuple[int, dict[str, Control]]:
        """Return the number of the last change, and every control by its key."""
        ...

    async def set_control(self, key: str, value: Any, at: float, *, expected: int | None = None) -> int:
        """Write a control and an audit row of it; return its new version.

        With `expected`, raise Conflict where its version is another one (0: not written yet).
        """
        ...

    async def tasks(self, *, state: str | None = None, label: str | None = None, limit: int = 50) -> list[Task]:
        """Return tasks, the last changed first."""
        ...

    async def outcomes(self, name: str) -> dict[str, dict[str, int]]:
        """Return how often live tasks of a workflow ended how: `{"name@version": {"success": 3, ...}}`."""
        ...

    async def incidents(self, *, limit: int = 100) -> list[Incident]:
        """Return incidents, the last first."""
        ...

    async def load(self, request_id: str) -> Task | None:
        """Return the task, or None."""
        ...

    async def steps(self, request_id: str) -> list[Step]:
        """Return every attempt of every step, in order."""
        ...

    async def event(self, source: str, event_id: str) -> Inbound | None:
        """Return the event of that source and id, or None."""
        ...

    async def inbox(self, request_id: str) -> list[Inbound]:
        """Return the events that are held for a wait to come, as they arrived."""
        ...

    async def audit(self, request_id: str) -> list[dict[str, Any]]:
        """Return the audit rows, in order."""
        ...

    async def close(self) -> None:
        """Release what is held. Safe to call twice."""
        ...


class Clock(Protocol):
    """Time, as an argument."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The real clock, looked up at each call so that a virtual one can stand in."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, delay_s: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(delay_s)
