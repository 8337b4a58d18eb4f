"""Virtual seconds as a number: standing still, jumping, or running at real pace."""

from __future__ import annotations

from pytest_agent.clock import _real


class Timeline:
    """Seconds that stand still until moved, or run at real pace from some real time on. The caller holds the lock."""

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
        return at_s if since is None else at_s + max(0.0, _real.perf_counter() - since)

    @property
    def still_left_s(self) -> float:
        """Real seconds until time really runs; 0 where it does or is not about to."""
        since = self.state[1]
        return 0.0 if since is None else max(0.0, since - _real.perf_counter())

    def run(self, *, running: bool, still_s: float = 0.0) -> None:
        """Run at real pace, `still_s` real seconds from now on; or stand still."""
        if running != self.running:
            self.state = (self.now(), _real.perf_counter() + still_s if running else None)

    def move_to(self, at_s: float) -> None:
        """Jump to `at_s`; never backwards."""
        at_s = max(at_s, self.now())
        since = self.state[1]
        self.state = (at_s, None if since is None else max(since, _real.perf_counter()))
