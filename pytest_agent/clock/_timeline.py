"""Virtual seconds as a number: standing still, jumping, or running at real pace."""

from __future__ import annotations

from pytest_agent.clock import _real


class Timeline:
    """Seconds that stand still until moved, or run at real pace from `run` on. The caller holds the lock."""

    def __init__(self, start_s: float) -> None:
        # One tuple, so that a reader without the lock never sees half of a change.
        self.state: tuple[float, float | None] = (start_s, None)

    @property
    def running(self) -> bool:
        """Whether time runs at real pace."""
        return self.state[1] is not None

    def now(self) -> float:
        """Virtual seconds now."""
        at_s, since = self.state
        return at_s if since is None else at_s + (_real.perf_counter() - since)

    def run(self, *, running: bool) -> None:
        """Run at real pace from now on, or stand still."""
        if running != self.running:
            self.state = (self.now(), _real.perf_counter() if running else None)

    def move_to(self, at_s: float) -> None:
        """Jump to `at_s`; never backwards."""
        at_s = max(at_s, self.now())
        self.state = (at_s, _real.perf_counter() if self.running else None)
